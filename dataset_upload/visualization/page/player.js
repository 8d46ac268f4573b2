// The player: one trajectory's clip with its skeletons, beside its plots.

const FINGERS = [[0, 1, 2, 3, 4], [0, 5, 6, 7, 8, 9], [0, 10, 11, 12, 13, 14], [0, 15, 16, 17, 18, 19], [0, 20, 21, 22, 23, 24]];
const JOINTS = 25;
const BEHIND_CAMERA = -32768;

/** Skeletons by clip number: {width, height, pixels}; the files beside the page call this with theirs. */
const skeletonsOf = new Map();
function receiveSkeletons(clip, width, height, base64) {
  skeletonsOf.set(clip, { width, height, pixels: decodeNumbers(base64) });
  player.draw();
}

function mediaPath(clip, ending) {
  const digits = (number) => String(number).padStart(4, "0");
  return `media/batch_${digits(Math.floor(clip / 1000))}/trajectory_${digits(clip)}.${ending}`;
}

const player = {
  dialog: document.getElementById("player"),
  video: document.getElementById("video"),
  canvas: document.getElementById("skeletons"),
  clock: document.getElementById("clock"),
  seek: document.getElementById("seek"),
  rate: document.getElementById("rate"),
  hands: document.getElementById("show-hands"),
  trouble: document.getElementById("trouble"),
  trajectory: null,
  plots: null,

  /** Show a trajectory; `position` says where it stands in the list that ← and → walk through. */
  show(trajectory, position, facts) {
    this.trajectory = trajectory;
    document.getElementById("player-task").textContent = trajectory.text;
    document.getElementById("player-source").textContent = trajectory.source + (trajectory.certain ? "" : ", not certain that this text applies");
    document.getElementById("player-position").textContent = position;
    document.getElementById("facts").replaceChildren(...facts);
    document.getElementById("stage").style.aspectRatio = trajectory.aspect;
    this.trouble.hidden = true;
    this.seek.max = trajectory.frames - 1;
    const seek = (seconds) => this.seekTime(seconds);
    this.plots = trajectory.hasHands ? trajectoryPlots(decodeCurves(trajectory.curves, trajectory.duration), seek)
      : actionPlots(data.actionNames, trajectory.actions, seek);
    this.hands.closest("label").hidden = !trajectory.hasHands;
    document.getElementById("plots").replaceChildren(...this.plots.nodes);
    if (trajectory.hasHands && !skeletonsOf.has(trajectory.clip)) document.head.append(element("script", { src: mediaPath(trajectory.clip, "js") }));
    this.video.src = mediaPath(trajectory.clip, "mp4");
    this.setRate();
    this.play();
    if (!this.dialog.open) this.dialog.showModal();
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
    const { frames, duration } = this.trajectory;
    return duration ? (frames - 1) / fps / duration : 1;
  },

  setRate() {
    const rate = this.videoSeconds() * Number(this.rate.value);
    this.video.defaultPlaybackRate = this.video.playbackRate = Math.min(Math.max(rate, 0.0625), 16);
  },

  frame() {
    return Math.min(Math.floor(this.video.currentTime * fps + 1e-3), this.trajectory.frames - 1);
  },

  seekFrame(number) {
    this.video.pause();
    const last = this.trajectory.frames - 1;
    this.video.currentTime = (Math.min(Math.max(number, 0), last) + 0.5) / fps;
  },

  seekTime(seconds) {
    this.seekFrame(Math.round(seconds * this.videoSeconds() * fps));
  },

  /** Bring clock, plots and skeletons to the frame that the video shows. */
  draw(number = this.trajectory && this.frame()) {
    if (!this.trajectory) return;
    const { frames, duration } = this.trajectory;
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
    const stored = skeletonsOf.get(this.trajectory.clip);
    if (!stored || !this.hands.checked) return;
    const scale = [width / stored.width / 16, height / stored.height / 16];
    ["left", "right"].forEach((side, hand) => {
      const start = (number * 2 + hand) * JOINTS * 2;
      const points = Array.from({ length: JOINTS }, (_, joint) => {
        const [u, v] = stored.pixels.subarray(start + 2 * joint, start + 2 * joint + 2);
        return u === BEHIND_CAMERA ? null : [u * scale[0], v * scale[1]];
      });
      drawHand(context, points, side === "left" ? "#26a6ff" : "#ff8c1a", height / 170);
    });
  },

  close() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    this.trajectory = null;
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
  const last = player.trajectory ? player.trajectory.frames - 1 : 0;
  player.draw(shown?.mediaTime === undefined ? undefined : Math.min(Math.round(shown.mediaTime * fps), last));
  if (player.video.requestVideoFrameCallback) player.video.requestVideoFrameCallback(follow);
  else requestAnimationFrame(follow);
}

follow();
player.video.addEventListener("seeked", () => player.draw());
player.video.addEventListener("play", () => (document.getElementById("play").textContent = "Pause"));
player.video.addEventListener("pause", () => (document.getElementById("play").textContent = "Play"));
player.video.addEventListener("error", () => (player.trouble.hidden = !player.trajectory));
document.getElementById("play").addEventListener("click", () => player.toggle());
player.seek.addEventListener("input", (event) => player.seekFrame(Number(event.target.value)));
player.rate.addEventListener("change", () => player.setRate());
player.hands.addEventListener("change", () => player.draw());
new ResizeObserver(() => player.draw()).observe(player.canvas);
