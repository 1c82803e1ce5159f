// Health and live figures, from what every server tells: /readyz and /metrics.

const EVERY_SECONDS = 2;
const WINDOW = 31; // samples: one minute, and the one before it
const samples = [];

const GAUGES = [
  { title: "Requests", unit: "a second", figure: (view) => short(Number(view.rate.toPrecision(3))), trace: "rates" },
  { title: "Latency, median", unit: "", figure: (view) => formatSeconds(view.p50), trace: "medians" },
  { title: "Latency, 95th percentile", unit: "", figure: (view) => formatSeconds(view.p95), trace: "slow" },
  { title: "Errors", unit: "", figure: (view) => String(view.errors), trace: "failures", bad: (view) => view.errors },
  { title: "In flight", unit: "", figure: (view) => String(view.inflight), trace: "inflights" },
];

function formatSeconds(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.001) return `${Number((seconds * 1e6).toPrecision(2))} µs`;
  return seconds < 1 ? `${Number((seconds * 1e3).toPrecision(3))} ms` : `${Number(seconds.toPrecision(3))} s`;
}

// Prometheus text format, as far as these figures need it.
function* metricSamples(exposition) {
  for (const line of exposition.split("\n")) {
    const match = /^(shipway_\w+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
    yield { name: match[1], labels, value: Number(match[3]) };
  }
}

// Only calls of a model count: health checks and this page's own questions name none.
function takeSample(exposition, time) {
  const sample = { time, requests: 0, errors: 0, inflight: 0, buckets: new Map() };
  for (const { name, labels, value } of metricSamples(exposition)) {
    if (name === "shipway_inflight") sample.inflight += value;
    if (!labels.model) continue;
    if (name === "shipway_requests_total") {
      sample.requests += value;
      if (Number(labels.code) >= 400) sample.errors += value;
    } else if (name === "shipway_request_duration_seconds_bucket") {
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      sample.buckets.set(bound, (sample.buckets.get(bound) || 0) + value);
    }
  }
  sample.inflight = Math.max(0, sample.inflight - 1); // the call that asks for the metrics is one itself
  return sample;
}

// The quantile of what happened between two samples, interpolated in its bucket as Prometheus does it.
function quantile(share, before, after) {
  const bounds = [...after.buckets.keys()].sort((one, other) => one - other);
  const counts = bounds.map((bound) => after.buckets.get(bound) - (before.buckets.get(bound) || 0));
  const total = counts.at(-1) || 0;
  if (!total) return null;
  const wanted = share * total;
  const index = counts.findIndex((count) => count >= wanted);
  const low = index ? bounds[index - 1] : 0;
  if (bounds[index] === Infinity) return low;
  const under = index ? counts[index - 1] : 0;
  return low + ((bounds[index] - low) * (wanted - under)) / (counts[index] - under);
}

function liveView() {
  const last = samples.at(-1);
  const steps = samples.slice(1).map((after, index) => [samples[index], after]);
  const between = ([before, after]) => (after.requests - before.requests) / ((after.time - before.time) / 1000);
  const recent = samples.at(Math.max(-6, -samples.length));
  const seconds = (last.time - recent.time) / 1000;
  return {
    rate: seconds > 0 ? (last.requests - recent.requests) / seconds : 0,
    p50: quantile(0.5, samples[0], last),
    p95: quantile(0.95, samples[0], last),
    errors: last.errors - samples[0].errors,
    inflight: last.inflight,
    rates: steps.map(between),
    medians: steps.map(([before, after]) => quantile(0.5, before, after) || 0),
    slow: steps.map(([before, after]) => quantile(0.95, before, after) || 0),
    failures: steps.map(([before, after]) => after.errors - before.errors),
    inflights: samples.slice(1).map((sample) => sample.inflight),
  };
}

function sparkline(values) {
  const top = Math.max(...values, Number.MIN_VALUE);
  const start = 100 - ((values.length - 1) * 100) / (WINDOW - 2);
  const step = 100 / (WINDOW - 2);
  const point = (value, index) => `${(start + index * step).toFixed(2)},${(23 - (value / top) * 21).toFixed(2)}`;
  const line = svg("polyline", { points: values.map(point).join(" ") });
  return svg("svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, line);
}

function showLive(view) {
  const gauges = GAUGES.map(({ title, unit, figure, trace, bad }) =>
    el(
      "div",
      { class: bad && bad(view) ? "gauge bad" : "gauge" },
      el("dt", {}, title),
      el("dd", {}, figure(view), unit ? el("small", {}, unit) : null),
      el("dd", { class: "spark" }, sparkline(view[trace])),
    ),
  );
  byId("gauges").replaceChildren(...gauges);
}

async function pollMetrics() {
  const response = await fetch(`${root}metrics`, { headers: authorization() });
  if (!response.ok) {
    const keyless = response.status === 401;
    byId("live-note").textContent = keyless ? "needs the API key" : `the server answered ${response.status}`;
    return;
  }
  const sample = takeSample(await response.text(), performance.now());
  // A server that was started anew counts from zero again.
  if (samples.length && sample.requests < samples.at(-1).requests) samples.length = 0;
  samples.push(sample);
  samples.splice(0, samples.length - WINDOW);
  byId("live-note").textContent = "last minute, all models";
  showLive(liveView());
}

async function pollHealth() {
  const response = await fetch(`${root}readyz`);
  showHealth(response.ok ? "ready" : "away", response.ok ? "ready" : "not ready");
}

function showHealth(health, words) {
  byId("health").dataset.state = health;
  if (byId("health-text").textContent !== words) byId("health-text").textContent = words;
}

async function poll() {
  if (!document.hidden) {
    try {
      await pollHealth();
      await pollMetrics();
    } catch {
      showHealth("away", "out of reach");
    }
  }
  setTimeout(poll, EVERY_SECONDS * 1000);
}
