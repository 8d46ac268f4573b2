// The player: one trajectory's clip with its skeletons, beside its plots.

const FINGERS = [[0, 1, 2, 3, 4], [0, 5, 6, 7, 8, 9], [0, 10, 11, 12, 13, 14], [0, 15, 16, 17, 18, 19], [0, 20, 21, 22, 23, 24]];
const JOINTS = 25;
const BEHIND_CAMERA = -32768;

const player = {
  dialog: document.getElementById("player"),
  video: document.getElementById("video"),
  canvas: document.getElementById("skeletons"),
  clock: document.getElementById("clock"),
  seek: document.getElementById("seek"),
  rate: document.getElementById("rate"),
  hands: document.getElementById("show-hands"),
  trouble: document.getElementById("trouble"),
  row: null, // of the trajectory that is shown
  clip: null, // what there is to show of it, once that has arrived
  skeletons: null,
  plots: null,

  /** Show a row's trajectory; `position` says where it stands in the list that ← and → walk through. */
  async show(row, position) {
    this.leave();
    this.row = row;
    document.getElementById("player-task").textContent = rows.text(row);
    document.getElementById("player-source").textContent = rows.source(row);
    document.getElementById("player-position").textContent = position;
    this.trouble.hidden = true;
    if (!this.dialog.open) this.dialog.showModal();
    let clip;
    try {
      clip = await clips.of(rows.number[row]);
    } catch {
      this.trouble.hidden = this.row !== row;
      return;
    }
    if (this.row === row) this.showClip(clip);
  },

  showClip(clip) {
    this.clip = clip;
    if (!clip.certain) document.getElementById("player-source").textContent += ", not certain that this text applies";
    document.getElementById("facts").replaceChildren(...factsOf(this.row, clip));
    document.getElementById("stage").style.aspectRatio = clip.aspect;
    this.seek.max = clip.frames - 1;
    const seek = (seconds) => this.seekTime(seconds);
    this.plots = clip.hasHands ? trajectoryPlots(decodeCurves(clip.curves, clip.duration), seek)
      : actionPlots(data.actionNames, clip.actions, seek);
    this.skeletons = clip.hasHands ? decodeNumbers(clip.skeletons) : null;
    this.hands.closest("label").hidden = !clip.hasHands;
    document.getElementById("plots").replaceChildren(...this.plots.nodes);
    this.video.src = URL.createObjectURL(new Blob([decodeBytes(clip.video)], { type: "video/mp4" }));
    this.setRate();
    this.play();
    this.draw();
  },

  play() {
    this.video.play().catch(() => {}); // another trajectory was asked for meanwhile, or the clip is missing
  },

  toggle() {
    if (this.video.paused) this.play();
    else this.seekFrame(Number(this.seek.value)); // the frame that is shown: the video's clock may be at the next already
  },

  /** Seconds of video for a second of what happened: clips play at a rate of their own. */
  videoSeconds() {
    const { frames, duration } = this.clip;
    return duration ? (frames - 1) / fps / duration : 1;
  },

  setRate() {
    const rate = this.videoSeconds() * Number(this.rate.value);
    this.video.defaultPlaybackRate = this.video.playbackRate = Math.min(Math.max(rate, 0.0625), 16);
  },

  frame() {
    return Math.min(Math.floor(this.video.currentTime * fps + 1e-3), this.clip.frames - 1);
  },

  seekFrame(number) {
    this.video.pause();
    const last = this.clip.frames - 1;
    this.video.currentTime = (Math.min(Math.max(number, 0), last) + 0.5) / fps;
  },

  seekTime(seconds) {
    this.seekFrame(Math.round(seconds * this.videoSeconds() * fps));
  },

  /** Bring clock, plots and skeletons to the frame that the video shows. */
  draw(number = this.clip && this.frame()) {
    if (!this.clip) return;
    const { frames, duration } = this.clip;
    const seconds = frames > 1 ? (number / (frames - 1)) * duration : 0;
    this.seek.value = number;
    this.seek.setAttribute("aria-valuetext", `frame ${number + 1} of ${frames}`);
    this.clock.textContent = `${seconds.toFixed(2)} s, frame ${number + 1} of ${frames}`;
    this.plots.moveTo(seconds);
    this.drawSkeletons(number);
  },

  drawSkeletons(number) {
    const box = this.canvas.getBoundingClientRect();
    const [width, height] = [Math.round(box.width * devicePixelRatio), Math.round(box.height * devicePixelRatio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (!this.skeletons || !this.hands.checked) return;
    const scale = [width / this.clip.size[0] / 16, height / this.clip.size[1] / 16];
    ["left", "right"].forEach((side, hand) => {
      const start = (number * 2 + hand) * JOINTS * 2;
      const points = Array.from({ length: JOINTS }, (_, joint) => {
        const [u, v] = this.skeletons.subarray(start + 2 * joint, start + 2 * joint + 2);
        return u === BEHIND_CAMERA ? null : [u * scale[0], v * scale[1]];
      });
      drawHand(context, points, side === "left" ? "#26a6ff" : "#ff8c1a", height / 170);
    });
  },

  /** Let go of the trajectory that was shown. */
  leave() {
    this.video.pause();
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    this.video.load();
    this.row = this.clip = this.skeletons = null;
  },

  close() {
    this.leave();
    if (this.dialog.open) this.dialog.close();
  },
};

/** Bones over a dark casing, then the joints, fingertips ringed in white. */
function drawHand(context, points, colour, lineWidth) {
  context.lineJoin = context.lineCap = "round";
  for (const [stroke, width] of [["rgb(16 18 24 / 0.8)", 2.2 * lineWidth], [colour, lineWidth]]) {
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.beginPath();
    for (const finger of FINGERS) {
      const seen = finger.map((joint) => points[joint]).filter(Boolean);
      seen.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    }
    context.stroke();
  }
  points.forEach((point, joint) => {
    if (!point) return;
    const isTip = FINGERS.some((finger) => finger.at(-1) === joint);
    context.beginPath();
    context.arc(...point, lineWidth * (isTip ? 1.7 : 1.1), 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.lineWidth = lineWidth / 2;
    context.strokeStyle = isTip ? "#fff" : "rgb(16 18 24 / 0.8)";
    context.stroke();
  });
}

/** Follow the video: at each of its frames where browsers tell, else at each of the screen's. */
function follow(_, shown) {
  const last = player.clip ? player.clip.frames - 1 : 0;
  player.draw(shown?.mediaTime === undefined ? undefined : Math.min(Math.round(shown.mediaTime * fps), last));
  if (player.video.requestVideoFrameCallback) player.video.requestVideoFrameCallback(follow);
  else requestAnimationFrame(follow);
}

follow();
player.video.addEventListener("seeked", () => player.draw());
player.video.addEventListener("play", () => (document.getElementById("play").textContent = "Pause"));
player.video.addEventListener("pause", () => (document.getElementById("play").textContent = "Play"));
player.video.addEventListener("error", () => player.clip && (player.trouble.hidden = false));
document.getElementById("play").addEventListener("click", () => player.toggle());
player.seek.addEventListener("input", (event) => player.seekFrame(Number(event.target.value)));
player.rate.addEventListener("change", () => player.setRate());
player.hands.addEventListener("change", () => player.draw());
new ResizeObserver(() => player.draw()).observe(player.canvas);
