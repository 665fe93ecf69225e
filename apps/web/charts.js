// One topic's posts over time as stacked bars, with its alerts shaded. Colours come from the style sheet.

const WIDTH = 480, HEIGHT = 150, LEFT = 30, BOTTOM = 20, TOP = 8;
const HOUR = 3600e3;
const STEPS = [1, 3, 6, 12, 24, 48, 96].map((hours) => hours * HOUR);
const SENTIMENTS = ["negative", "neutral", "positive"];

/** Posts per step, so that there are at most 60 bars; `points` are those of one topic. */
export function sumSteps(points, firstTime, lastTime) {
  const step = STEPS.find((length) => (lastTime - firstTime) / length < 60) ?? STEPS.at(-1);
  const bars = new Map();
  for (const point of points) {
    const start = Math.floor(Date.parse(point.start) / step) * step;
    const bar = bars.get(start) ?? { start, posts: 0, negative: 0, neutral: 0, positive: 0, copies: 0 };
    for (const name of ["posts", ...SENTIMENTS, "copies"]) bar[name] += point[name];
    bars.set(start, bar);
  }
  return { step, bars: [...bars.values()].sort((a, b) => a.start - b.start) };
}

/** An SVG of the bars; `alerts` are shaded from their start to their end. */
export function drawTrend({ step, bars }, alerts, [firstTime, lastTime], { label, language }) {
  const from = Math.floor(firstTime / step) * step, until = Math.floor(lastTime / step) * step + step;
  const highest = Math.max(1, ...bars.map((bar) => bar.posts));
  const x = (time) => LEFT + ((Math.min(Math.max(time, from), until) - from) / (until - from)) * (WIDTH - LEFT);
  const y = (posts) => TOP + (1 - posts / highest) * (HEIGHT - TOP - BOTTOM);
  const svg = draw("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const alert of alerts) {
    const start = x(Date.parse(alert.since)), end = x(Date.parse(alert.closed_at ?? lastTime) || lastTime);
    svg.append(draw("rect", { class: "surge", x: start, y: 0, width: Math.max(3, end - start), height: HEIGHT - BOTTOM }));
  }
  for (const bar of bars) svg.append(...drawBar(bar, [x(bar.start), x(bar.start + step)], y, language));
  svg.append(draw("line", { x1: LEFT, x2: WIDTH, y1: y(0), y2: y(0) }), ...drawLabels(highest, [from, until], y, language));
  return svg;
}

function drawBar(bar, [left, right], y, language) {
  let below = 0;
  return SENTIMENTS.filter((name) => bar[name]).map((name) => {
    const rect = draw("rect", {
      class: name, x: left, width: Math.max(1, right - left - 1), y: y(below + bar[name]), height: y(below) - y(below + bar[name]),
    });
    below += bar[name];
    const title = draw("title", {});
    title.textContent = `${new Date(bar.start).toLocaleString(language)}: ${bar.negative} / ${bar.neutral} / ${bar.positive}`;
    rect.append(title);
    return rect;
  });
}

function drawLabels(highest, [from, until], y, language) {
  const day = (time) => new Date(time).toLocaleDateString(language, { month: "short", day: "numeric" });
  const places = [
    [LEFT - 5, y(highest) + 9, "end", highest], [LEFT - 5, y(0), "end", 0],
    [LEFT, HEIGHT - 4, "start", day(from)], [(LEFT + WIDTH) / 2, HEIGHT - 4, "middle", day((from + until) / 2)],
    [WIDTH, HEIGHT - 4, "end", day(until - 1)],
  ];
  return places.map(([left, top, anchor, value]) => {
    const text = draw("text", { x: left, y: top, "text-anchor": anchor });
    text.textContent = value;
    return text;
  });
}

function draw(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
