/** The kinds of work over HTTP/2, all by h2load: small requests, and bodies of 1 GB in both directions. */
import { answers, Background, freePort, run } from "./programs.ts";
import { type Measured, serveFolder, type Work } from "./work.ts";

/** What one measurement of a body moves, in bytes, over all streams. */
const BULK_BYTES = 1e9;
const SINK = new URL("./sink_program.ts", import.meta.url).pathname;

/** Runs h2load over TLS; how long it took, in seconds, and how many requests succeeded. */
async function load(
  args: readonly string[],
  pinned: readonly string[],
): Promise<{ seconds: number; succeeded: number }> {
  const [program, ...rest] = [...pinned, "h2load", "-t1", ...args];
  const text = await run(program!, rest);
  const [, number, unit] = /finished in ([\d.]+)(us|ms|s), /.exec(text) ?? [];
  const [, succeeded, failed] = /(\d+) succeeded, (\d+) failed/.exec(text) ?? [];
  if (!(Number(succeeded) > 0) || failed !== "0" || !/status codes: [1-9]\d* 2xx/.test(text)) {
    throw new Error(`h2load measured nothing: ${text.slice(-500)}`);
  }
  const seconds = Number(number) * ({ us: 1e-6, ms: 1e-3, s: 1 } as Record<string, number>)[unit!]!;
  return { seconds, succeeded: Number(succeeded) };
}

/** 10 requests under way on each connection. */
export const http2Small: Work = {
  name: "http2-small",
  title: "small requests over HTTP/2, 20 connections of 10 each",
  rateUnit: "requests/s",
  cpuUnit: "µs/request",
  cpuScale: 1e6,
  serve: serveFolder,
  async ask(port, seconds, pinned) {
    const args = ["-c20", "-m10", "-D", `${seconds}`, `https://127.0.0.1:${port}/`];
    const { succeeded } = await load(args, pinned);
    return { rate: succeeded / seconds, units: succeeded };
  },
};

/** Moves `BULK_BYTES` on one connection, as bodies on so many streams at one time. However many seconds it takes. */
async function moveBulk(
  streams: number,
  args: readonly string[],
  pinned: readonly string[],
): Promise<Measured> {
  const { seconds } = await load(["-c1", `-m${streams}`, `-n${streams}`, ...args], pinned);
  return { rate: BULK_BYTES / 1e6 / seconds, units: BULK_BYTES / 1e9 };
}

const BULK = { rateUnit: "MB/s", cpuUnit: "s/GB", cpuScale: 1 } as const;

/** Writes a file of so many zeros that takes no space; returns its name. */
async function zeros(folder: string, bytes: number): Promise<string> {
  const name = `zeros-${bytes}`;
  await Deno.writeFile(`${folder}/${name}`, new Uint8Array(0));
  await Deno.truncate(`${folder}/${name}`, bytes);
  return name;
}

function download(name: string, streams: number): Work {
  const bytes = BULK_BYTES / streams;
  return {
    name,
    title: `${streams} ${streams === 1 ? "body" : "bodies"} of ${bytes / 1e6} MB over HTTP/2`,
    ...BULK,
    async serve(folder, pinned) {
      await zeros(folder, bytes);
      return await serveFolder(folder, pinned);
    },
    ask: (port, _seconds, pinned) =>
      moveBulk(streams, [`https://127.0.0.1:${port}/zeros-${bytes}`], pinned),
  };
}

export const http2Body = download("http2-body", 1);
export const http2Bodies = download("http2-bodies", 8);

let uploaded = "";

export const http2Upload: Work = {
  name: "http2-upload",
  title: "an upload of 1 GB over HTTP/2",
  ...BULK,
  async serve(folder, pinned) {
    uploaded = `${folder}/${await zeros(folder, BULK_BYTES)}`;
    const port = freePort();
    const program = new Background([
      ...[...pinned, Deno.execPath(), "run", "--quiet", "--no-check", "--allow-net"],
      ...[SINK, `${port}`],
    ]);
    await answers(port);
    return { port, program };
  },
  ask: (port, _seconds, pinned) =>
    moveBulk(1, ["-d", uploaded, `https://127.0.0.1:${port}/`], pinned),
};
