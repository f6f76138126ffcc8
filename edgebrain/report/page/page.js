// One player at a time; another version of a clip goes on where the last
// one stood, so that they can be compared. The page works without this.
"use strict";
document.querySelectorAll(".clip").forEach((clip) => {
  let stopped = 0;
  clip.querySelectorAll(".track").forEach((track) => {
    const audio = track.querySelector("audio");
    const spec = track.querySelector(".spec");
    const head = spec.querySelector("span");
    const draw = () => {
      const share = audio.currentTime / (audio.duration || 1);
      head.style.left = `${100 * share}%`;
      if (!audio.paused) requestAnimationFrame(draw);
    };
    audio.addEventListener("play", () => {
      document.querySelectorAll("audio").forEach((other) => {
        if (other !== audio && !other.paused) {
          if (clip.contains(other)) stopped = other.currentTime;
          other.pause();
        }
      });
      if (stopped > 0 && stopped < audio.duration - 0.05) {
        audio.currentTime = stopped;
      }
      stopped = 0;
      track.classList.add("playing");
      draw();
    });
    audio.addEventListener("pause", () => track.classList.remove("playing"));
    audio.addEventListener("seeked", draw);
    spec.addEventListener("click", (event) => {
      const box = spec.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      if (audio.duration) {
        audio.currentTime = share * audio.duration;
        audio.play();
      }
    });
  });
});
