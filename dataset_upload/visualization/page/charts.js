// Charts: histograms of the dataset, curves of one trajectory.

const SVG = "http://www.w3.org/2000/svg";

/** An element; attributes with the value null are left out, `text` becomes its text. */
function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** A histogram as a card. `show` writes a value with its unit. */
function histogram(title, { unknown, low, high, median, end, counts }, show) {
  const card = element("div", { class: "histogram" }, element("h3", { text: title }));
  if (low === undefined) {
    card.append(element("p", { text: "unknown for every trajectory" }));
    return card;
  }
  if (low === high) {
    card.append(element("p", { text: `${show(low)} for all` }));
    return card;
  }
  const [width, height] = [240, 72];
  const most = Math.max(...counts);
  const bins = counts.length;
  const step = width / bins;
  const bars = counts.map((count, bin) => {
    const from = low + ((end - low) * bin) / bins;
    const to = bin === bins - 1 ? high : from + (end - low) / bins;
    const tall = count ? Math.max(2, (count / most) * height) : 0;
    return svg("g", {},
      svg("title", { text: `${show(from)} to ${show(to)}: ${count.toLocaleString("en")}` }),
      svg("rect", { class: "whole", x: bin * step, y: 0, width: step, height }),
      svg("rect", { x: bin * step + 0.75, y: height - tall, width: Math.max(step - 1.5, 1), height: tall, rx: 1.5 }));
  });
  const summary = `median ${show(median)}` + (unknown ? `, unknown for ${unknown.toLocaleString("en")}` : "");
  card.append(
    element("p", { text: summary }),
    svg("svg", { viewBox: `0 0 ${width} ${height + 18}`, class: "bars", role: "img", "aria-label": `${title}: ${summary}, from ${show(low)} to ${show(high)}` },
      ...bars,
      svg("line", { class: "axis", x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }),
      svg("text", { x: 0, y: height + 14, text: show(low) }),
      svg("text", { x: width, y: height + 14, "text-anchor": "end", text: end < high ? `${show(end)} to ${show(high)}` : show(high) })));
  return card;
}

/** The curves of a trajectory: {times (s), left, right: points {x, y, z} (m), confidences: {left, right} (null: unknown)}. */
function decodeCurves(base64, duration) {
  const numbers = decodeNumbers(base64);
  const curves = { times: [], left: [], right: [], confidences: { left: [], right: [] } };
  for (let at = 0; at < numbers.length; at += 9) {
    const [time, lx, ly, lz, rx, ry, rz, sureLeft, sureRight] = numbers.subarray(at, at + 9);
    curves.times.push((time / 32767) * duration);
    curves.left.push({ x: lx / 1000, y: ly / 1000, z: lz / 1000 });
    curves.right.push({ x: rx / 1000, y: ry / 1000, z: rz / 1000 });
    curves.confidences.left.push(sureLeft < 0 ? null : sureLeft / 1000);
    curves.confidences.right.push(sureRight < 0 ? null : sureRight / 1000);
  }
  return curves;
}

/** Plots of the curves, with `moveTo(seconds)` that shows a moment in all of them. `seek(seconds)` is called by clicks. */
function trajectoryPlots(curves, seek) {
  const middles = curves.times.slice(1).map((time, i) => (time + curves.times[i]) / 2);
  const speeds = (points) => points.slice(1).map((point, i) => distance(point, points[i]) / (curves.times[i + 1] - curves.times[i] || 1));
  const lowest = Math.min(...curves.left.concat(curves.right).map((point) => point.y));
  const heights = (points) => points.map((point) => 100 * (point.y - lowest));
  const map = mapOf(curves);
  const speed = timePlot("Speed", "m/s", curves, middles, speeds(curves.left), speeds(curves.right), seek);
  const height = timePlot("Height", "cm above the lowest", curves, curves.times, heights(curves.left), heights(curves.right), seek);
  return {
    nodes: [speed.node, height.node, doubtLegend(curves), map.node],
    moveTo(seconds) {
      for (const plot of [speed, height, map]) plot.moveTo(seconds);
    },
  };
}

/** Plots of a trajectory without hands, one for each action column, as `trajectoryPlots`; `curves` begins with the times. */
function actionPlots(names, [times, ...curves], seek) {
  const plots = curves.map((curve, column) => {
    const [low, high] = [Math.min(...curve), Math.max(...curve)];
    const points = (x, y) => curve.map((value, i) => `${x(times[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    return plotOverTime({
      title: names[column], unit: "", of: "", digits: 2, end: times.at(-1), low, high: high > low ? high : low + 1, height: 56, seek,
      draw: (x, y) => [svg("polyline", { class: "curve left", points: points(x, y) })],
    });
  });
  return {
    nodes: plots.map((plot) => plot.node),
    moveTo(seconds) {
      for (const plot of plots) plot.moveTo(seconds);
    },
  };
}

function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y, a.z - b.z);
}

/** Left and right values over time; behind them doubt, the upper half for the left hand, the lower for the right. */
function timePlot(title, unit, curves, times, left, right, seek) {
  const line = (values, x, y) => values.map((value, i) => `${x(times[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const height = 120;
  return plotOverTime({
    title, unit, of: " of both hands", end: curves.times.at(-1), low: 0, high: niceCeiling(Math.max(...left, ...right, 0)), height, seek,
    shading: (x) => [
      ...doubt(curves.confidences.left, curves.times, x, 0, height / 2),
      ...doubt(curves.confidences.right, curves.times, x, height / 2, height / 2)],
    draw: (x, y) => [
      svg("polyline", { class: "curve left", points: line(left, x, y) }),
      svg("polyline", { class: "curve right", points: line(right, x, y) })],
  });
}

/** A plot from 0 to `end` seconds, `low` to `high`; `shading(x)` gives what lies behind its grid, `draw(x, y)` what before. */
function plotOverTime({ title, unit, of, digits = 3, end, low, high, height, seek, shading = () => [], draw }) {
  const [width, margin, foot] = [440, 34, 18];
  end ||= 1;
  const x = (time) => margin + (time / end) * (width - margin);
  const y = (value) => height - ((value - low) / (high - low)) * height;
  const grid = [low, (low + high) / 2, high].flatMap((value) => [
    svg("line", { class: "grid", x1: margin, x2: width, y1: y(value), y2: y(value) }),
    svg("text", { x: margin - 6, y: y(value) + 4, "text-anchor": "end", text: short(value, digits) }),
  ]);
  const cursor = svg("line", { class: "cursor", x1: margin, x2: margin, y1: 0, y2: height });
  const drawing = svg("svg", { viewBox: `0 -6 ${width} ${height + foot + 6}`, class: "seekable", role: "img", "aria-label": `${title}${of} over ${short(end)} seconds` },
    ...shading(x),
    ...grid,
    ...draw(x, y),
    svg("text", { x: margin, y: height + 14, text: "0 s" }),
    svg("text", { x: width, y: height + 14, "text-anchor": "end", text: `${short(end)} s` }),
    cursor);
  const seekTo = (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    seek(Math.min(Math.max((at - margin) / (width - margin), 0), 1) * end);
  };
  drawing.addEventListener("pointerdown", seekTo);
  drawing.addEventListener("pointermove", (event) => event.buttons && seekTo(event));
  return {
    node: element("div", { class: "plot" }, plotTitle(title, unit), drawing),
    moveTo(seconds) {
      cursor.setAttribute("x1", x(Math.min(seconds, end)));
      cursor.setAttribute("x2", x(Math.min(seconds, end)));
    },
  };
}

/** What the shading means, or that there is none. */
function doubtLegend({ confidences: { left, right } }) {
  if (left.concat(right).every((value) => value === null)) return element("p", { class: "legend", text: "Confidence unknown." });
  const shades = [1, 0.5, 0].map((sure) => svg("rect", { class: "doubt", x: 24 * (1 - sure) * 2, y: 0, width: 24, height: 12, opacity: doubtOpacity(sure) }));
  const scale = svg("svg", { viewBox: "0 0 72 12", role: "img", "aria-label": "light to dark" }, ...shades);
  return element("p", { class: "legend" }, element("span", {}, "Confidence: 1 ", scale, " 0"),
    element("span", { text: "Upper half of a plot: left hand; lower half: right hand" }));
}

const doubtOpacity = (confidence) => (0.35 * (1 - confidence)).toFixed(3);

/** Shading of one hand, darker where the tracker is less sure. */
function doubt(confidences, times, x, y, height) {
  return confidences.slice(1).flatMap((_, i) => {
    const [one, other] = [confidences[i], confidences[i + 1]];
    if (one === null || other === null) return [];
    return [svg("rect", { class: "doubt", x: x(times[i]), y, width: x(times[i + 1]) - x(times[i]), height, opacity: doubtOpacity((one + other) / 2) })];
  });
}

/** The ways of both wrists from straight above, z towards the viewer. */
function mapOf(curves) {
  const [width, height, edge] = [440, 200, 12];
  const all = curves.left.concat(curves.right);
  const [west, east] = [Math.min(...all.map((p) => p.x)), Math.max(...all.map((p) => p.x))];
  const [north, south] = [Math.min(...all.map((p) => p.z)), Math.max(...all.map((p) => p.z))];
  const scale = Math.min((width - 2 * edge) / (east - west || 0.1), (height - 2 * edge - 14) / (south - north || 0.1), 4000);
  const place = (point) => [width / 2 + (point.x - (west + east) / 2) * scale, (height - 14) / 2 + (point.z - (north + south) / 2) * scale];
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Paths of both hands from above" });
  const here = {};
  for (const side of ["left", "right"]) {
    const places = curves[side].map(place);
    const [start, stop] = [places[0], places.at(-1)];
    here[side] = svg("circle", { class: `dot here ${side}`, r: 7, cx: start[0], cy: start[1] });
    drawing.append(
      svg("polyline", { class: `curve ${side}`, points: places.map((pair) => pair.map((value) => value.toFixed(1)).join(",")).join(" ") }),
      svg("circle", { class: `dot ${side}`, r: 4, cx: start[0], cy: start[1] }),
      svg("circle", { class: `ring ${side}`, r: 4, cx: stop[0], cy: stop[1] }));
  }
  const bar = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01].find((metres) => metres * scale < width / 3) ?? 0.01;
  drawing.append(here.left, here.right,
    svg("line", { class: "cursor", x1: 0, x2: bar * scale, y1: height - 4, y2: height - 4 }),
    svg("text", { x: bar * scale + 6, y: height, text: `${short(100 * bar)} cm` }));
  return {
    node: element("div", { class: "plot" }, plotTitle("Paths from above", "dot to ring"), drawing),
    moveTo(seconds) {
      for (const side of ["left", "right"]) {
        const [x, y] = place(pointAt(curves.times, curves[side], seconds));
        here[side].setAttribute("cx", x);
        here[side].setAttribute("cy", y);
      }
    },
  };
}

function plotTitle(title, unit) {
  return element("h3", { text: `${title} ` }, element("span", { text: unit }));
}

/** A point on the way from one of the points to the next, as far as time has come. */
function pointAt(times, points, seconds) {
  const next = times.findIndex((time) => time >= seconds);
  if (next === 0) return points[0];
  if (next < 0) return points.at(-1);
  const share = (seconds - times[next - 1]) / (times[next] - times[next - 1] || 1);
  const [a, b] = [points[next - 1], points[next]];
  return { x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y), z: a.z + share * (b.z - a.z) };
}

function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 4, 5, 10].find((factor) => factor * power >= value) * power || 1;
}

/** A number as short as it can be read. */
function short(value, digits = 3) {
  return Number(value.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 4 });
}
