/**
 * The start benchmark: from the start of the process until it has printed its version, and until a client
 * has been served; and the memory of the process when it has nothing to do. It is compared with an
 * empty program on the same Deno, because most of the time is Deno's own.
 */
import { Child } from "../harness/child.ts";
import { EXECUTABLE } from "../harness/proxy.ts";
import { freePort } from "./programs.ts";

export interface StartBench {
  /** The number of measurements of each kind; their median is printed. */
  readonly rounds: number;
}

interface Started {
  readonly ms: number;
  /** Until its first line came out: Deno's own start, and loading the code of the mode. */
  readonly saidMs: number;
  /** Resident memory, and the private part of it: the rest is files, shared with other processes. */
  readonly rssMb: number;
  readonly anonymousMb: number;
}

/** How long the process is left alone before its memory is read. */
const IDLE_MS = 300;

/** Runs the benchmark and prints its table. */
export async function benchStart({ rounds }: StartBench): Promise<void> {
  const upstream = answering();
  const empty = await Deno.makeTempFile({ suffix: ".ts" });
  const http = ["--primary", `http://127.0.0.1:${upstream.port}`, "--listen"];
  const tcp = ["--hosts", `127.0.0.1:${upstream.port}`, "--bind"];
  try {
    console.log(`Deno ${Deno.version.deno}, from source, medians of ${rounds}\n`);
    console.log("| process | until | time | first line of its log | memory | of its own |");
    console.log("| --- | --- | ---: | ---: | ---: | ---: |");
    const none = await medianOf(rounds, () => untilEnd(["run", "--quiet", empty]));
    row("an empty program", "its end", none);
    row("`--version`", "its end", await medianOf(rounds, () => untilEnd([...EXECUTABLE, "-V"])));
    for (
      const [name, flags] of Object.entries({
        "TCP mode, `stream`": ["--relay", "stream", ...tcp],
        "TCP mode, `splice`": ["--relay", "splice", ...tcp],
        "HTTP mode": http,
      })
    ) {
      row(name, "a client is served", await medianOf(rounds, () => untilServed(flags)));
    }
    console.log(
      `\nDeno itself takes ${
        none.ms.toFixed(0)
      } ms of each; most of the rest is loading modules, ` +
        "and in `splice` starting the worker.",
    );
  } finally {
    upstream.stop();
    await Deno.remove(empty);
  }
}

async function untilEnd(args: readonly string[]): Promise<Started> {
  const start = performance.now();
  await new Deno.Command(Deno.execPath(), { args: [...args], stdout: "null" }).output();
  return { ms: performance.now() - start, saidMs: NaN, rssMb: NaN, anonymousMb: NaN };
}

/** `flags` end with the one that takes the address to listen on. */
async function untilServed(flags: readonly string[]): Promise<Started> {
  const port = freePort();
  const lines: string[] = [];
  let saidMs = NaN;
  const start = performance.now();
  await using child = new Child(Deno.execPath(), {
    args: [...EXECUTABLE, ...flags, `127.0.0.1:${port}`],
    onErr(line) {
      if (lines.push(line) === 1) saidMs = performance.now() - start;
    },
  });
  while (!await isServed(port)) {
    if (child.hasEnded) throw new Error(`it ended by itself:\n${lines.join("\n")}`);
    await pause(1);
  }
  const ms = performance.now() - start;
  await pause(IDLE_MS);
  const status = await Deno.readTextFile(`/proc/${child.pid}/status`);
  const mb = (field: string) =>
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]) / 1_024;
  child.signal("SIGTERM");
  await child.ended;
  return { ms, saidMs, rssMb: mb("VmRSS"), anonymousMb: mb("RssAnon") };
}

/** One HTTP request, which TCP mode passes on like any bytes. */
async function isServed(port: number): Promise<boolean> {
  try {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port });
    await conn.write(
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    );
    return await conn.read(new Uint8Array(1)) === 1;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    if (error instanceof Deno.errors.ConnectionReset) return false;
    throw error;
  }
}

/** An upstream that answers each read, and sends nothing to clients that send nothing. */
function answering(): { port: number; stop(): void } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const answer = new TextEncoder().encode(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK",
  );
  (async () => {
    for await (const conn of listener) {
      const serve = async () => {
        using socket = conn;
        if (await socket.read(new Uint8Array(4_096)) !== null) await socket.write(answer);
      };
      serve().catch(() => {}); // a check or a client that has left needs no answer
    }
  })();
  return { port: (listener.addr as Deno.NetAddr).port, stop: () => listener.close() };
}

async function medianOf(rounds: number, measure: () => Promise<Started>): Promise<Started> {
  await measure(); // warms up caches
  const all: Started[] = [];
  for (let round = 0; round < rounds; round++) all.push(await measure());
  const median = (field: keyof Started) =>
    all.map((each) => each[field]).toSorted((a, b) => a - b)[rounds >> 1]!;
  return {
    ms: median("ms"),
    saidMs: median("saidMs"),
    rssMb: median("rssMb"),
    anonymousMb: median("anonymousMb"),
  };
}

function row(process: string, until: string, { ms, saidMs, rssMb, anonymousMb }: Started): void {
  const cell = (value: number, unit: string) =>
    Number.isNaN(value) ? "" : `${value.toFixed(0)} ${unit}`;
  const cells = [cell(ms, "ms"), cell(saidMs, "ms"), cell(rssMb, "MB"), cell(anonymousMb, "MB")];
  console.log(`| ${process} | ${until} | ${cells.join(" | ")} |`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
