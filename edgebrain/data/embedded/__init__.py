"""The embedded corpus: what a person without data trains on.

Speech by espeak-ng (24 voices in seven accents, every sentence its own),
noises generated in the families people meet, and room responses by image
sources, made once from a seed. Nothing is downloaded. Speech and noise lie
at -25 dBFS RMS (lower where the peak would pass 0.89), as 16-bit mono FLAC.
Room responses are 24-bit FLAC; each begins 40 samples before its direct path,
which is positive, the largest sample, and scaled to 1. Train, valid and test
share no voice, sentence, noise or room.
"""
