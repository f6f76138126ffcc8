"""Audio event detection: which sounds a recording holds, and when."""
