/** The goals, and how each is measured with the parts of the other benchmarks. */
import { CASES, measureServices, WATCH_SECONDS } from "./services.ts";
import { measureChecks } from "./checks.ts";
import { type BenchOptions, measure, type Result } from "./compare.ts";
import { type Figure, type Goal, ratio, type Section } from "./goals.ts";
import { startHttpProxy } from "./http_proxies.ts";
import { startHttpsProxy } from "./https_proxies.ts";
import { beside, light, paced50, pacedNew } from "./latency.ts";
import { startProxy } from "./proxies.ts";
import { placeOf, type Trait, type TraitResult } from "./traits.ts";
import { http2Bodies, http2Body, http2Small, http2Upload } from "./http2_works.ts";
import {
  bulk1,
  bulk16,
  connect50,
  fullHandshakes,
  handshake50,
  secure50,
  small50,
  type Work,
} from "./work.ts";

/** One of our modes compared with HAProxy, or another proxy, in the same mode. */
interface Duel {
  readonly base?: string;
  readonly ours: string;
  readonly start: typeof startProxy;
}

const TCP: Duel = { ours: "splice", start: startProxy };
const HTTP: Duel = { ours: "failover", start: startHttpProxy };
const HTTPS: Duel = { ours: "failover", start: startHttpsProxy };
const HTTP2: Duel = { ...HTTPS, base: "nginx" };

/** A goal for our value divided by HAProxy's; only shown without `max`. */
function most(title: string, max?: number): Goal {
  return max === undefined ? { title, unit: "×" } : { title, unit: "×", max };
}

function least(title: string, min?: number): Goal {
  return min === undefined ? { title, unit: "×" } : { title, unit: "×", min };
}

export const SECTIONS: readonly Section[] = [
  // Where the goal is to get no worse, the limit is a tenth worse than what was measured.
  work("bulk1", TCP, bulk1, "TCP bulk, 1 stream", 1.24, 0.35),
  work("bulk16", TCP, bulk16, "TCP bulk, 16 streams", 1.24, 0.35),
  work("small", TCP, small50, "TCP small, kept connections", 1, 0.96),
  work("connect", TCP, connect50, "TCP new connections", 1, 0.95),
  work("http-small", HTTP, small50, "HTTP small, kept connections", 1, 1),
  trait("http-small-p99", HTTP, paced50, [
    most("HTTP small, kept connections: p99 at half of HAProxy's peak", 1.3),
  ]),
  work("http-connect", HTTP, connect50, "HTTP, a new connection each", 0.95, 1.15),
  trait("http-connect-p99", HTTP, pacedNew, [
    { title: "HTTP, a new connection each: p99 at half of HAProxy's peak", unit: "×" },
  ]),
  work("https-small", HTTPS, secure50, "HTTPS small, kept connections", 0.9, 1.2),
  work("https-connect", HTTPS, handshake50, "HTTPS, a resumed session for each request", 0.9, 1.2),
  work(
    "https-handshake",
    HTTPS,
    fullHandshakes,
    "HTTPS, a full handshake for each request",
    0.9,
    1.2,
  ),
  work("http2-small", HTTP2, http2Small, "HTTP/2 small, 20 connections, beside nginx", 0.5, 2),
  work("http2-haproxy", HTTPS, http2Small, "HTTP/2 small, 20 connections, beside HAProxy"),
  work("http2-body", HTTP2, http2Body, "HTTP/2, a body of 1 GB, beside nginx", 0.5, 2),
  work("http2-bodies", HTTP2, http2Bodies, "HTTP/2, 8 bodies of 125 MB, beside nginx", 0.5, 2),
  work("http2-upload", HTTP2, http2Upload, "HTTP/2, an upload of 1 GB, beside nginx", 0.5, 2),
  trait("light", HTTP, light, [
    most("HTTP, one client, a request each 2 ms: p50", 1),
    most("HTTP, one client, a request each 2 ms: p90", 1),
  ]),
  trait("beside", TCP, beside, [
    most("one TCP session beside 32 bulk streams: p50", 1),
    most("one TCP session beside 32 bulk streams: p99", 1),
    { title: "time for 1 GB of these bulk streams", unit: "×" },
  ]),
  services("services", [
    ["1", "failover, TCP mode", "rssMb", { title: "1 TCP service, idle", unit: "MB", max: 60 }],
    ["1", "failover, HTTP mode", "rssMb", { title: "1 HTTP service, idle", unit: "MB", max: 60 }],
    ["50", "failover, TCP mode", "rssMb", { title: "50 services", unit: "MB" }],
    ["50", "failover, TCP mode", "threads", { title: "50 services", unit: "threads" }],
    ["200", "failover, TCP mode", "rssMb", { title: "200 services", unit: "MB", max: 150 }],
    ["200", "failover, TCP mode", "threads", { title: "200 services", unit: "threads" }],
    ["200", "failover, TCP mode", "cpuPercent", {
      title: "200 services, idle CPU",
      unit: "% of a core",
      max: 2,
    }],
    ["200", "failover, TCP mode", "seconds", {
      title: "200 services, all listen after",
      unit: "s",
      max: 3,
    }],
  ]),
  {
    name: "checks",
    goals: [
      { title: "checks under full load, TCP mode: p99 of their lateness", unit: "ms", max: 50 },
      { title: "checks under full load, HTTP mode: p99 of their lateness", unit: "ms", max: 50 },
    ],
    async measure(folder, options) {
      const results = await measureChecks(folder, options);
      return ["failover, TCP mode", "failover, HTTP mode"].map((name) => {
        const { p50, p99, worst } = results.get(name)!;
        const haproxys = results.get("haproxy")!.p99.toFixed(1);
        return {
          value: p99,
          detail: `p50 ${p50.toFixed(1)}, worst ${worst.toFixed(1)}; HAProxy's p99 ${haproxys} ms`,
        };
      });
    },
  },
];

export const GOAL_SECTIONS = SECTIONS.map(({ name }) => name);

/** Rate and CPU time per unit, compared with those of `base`. */
function work(
  name: string,
  { ours, start, base: other = "haproxy" }: Duel,
  work: Work,
  title: string,
  rateMin?: number,
  cpuMax?: number,
): Section {
  return {
    name,
    goals: [least(`${title}: rate`, rateMin), most(`${title}: CPU`, cpuMax)],
    async measure(folder, options) {
      const results = await measure({ start }, work, [other, ours], folder, options);
      const [base, our] = [results.get(other)!, results.get(ours)!];
      const scaled = ({ user, system }: Result) => (user + system) * work.cpuScale;
      const parts = [our, base].map(({ user, system }) =>
        [user, system].map((seconds) => (seconds * work.cpuScale).toPrecision(3)).join(" + ")
      );
      const cpu = ratio(scaled(our), scaled(base), work.cpuUnit);
      return [
        ratio(our.rate, base.rate, work.rateUnit),
        { ...cpu, detail: `${cpu.detail}; user + system ${parts.join(" : ")}` },
      ];
    },
  };
}

/** The results of a trait, in their order, compared with HAProxy's. */
function trait(name: string, { ours, start }: Duel, trait: Trait, goals: readonly Goal[]): Section {
  return {
    name,
    goals,
    async measure(folder, options) {
      const place = placeOf(["haproxy", ours], start, folder, options);
      return (await trait.measure(place)).map(({ values, unit }: TraitResult) =>
        ratio(values.get(ours)!, values.get("haproxy")!, unit)
      );
    },
  };
}

type ServicesGoal = readonly [
  name: string,
  proxy: string,
  field: "rssMb" | "threads" | "cpuPercent" | "seconds",
  goal: Goal,
];

function services(name: string, goals: readonly ServicesGoal[]): Section {
  return {
    name,
    goals: goals.map(([, , , goal]) => goal),
    async measure(folder: string, { pin }: BenchOptions): Promise<Figure[]> {
      const cases = CASES.filter(({ proxy }) => proxy !== "haproxy");
      const results = await measureServices(cases, folder, {
        rounds: 1,
        seconds: WATCH_SECONDS,
        pin,
      });
      return goals.map(([name, proxy, field]) => {
        const one = cases.find((each) => each.name === name && each.proxy === proxy)!;
        return { value: results.get(one)![field], detail: "" };
      });
    },
  };
}
