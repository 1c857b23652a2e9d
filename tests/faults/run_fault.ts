/** One fault with one proxy: two counting upstreams, the proxy between them and the load, and the fault itself. */
import { connect } from "node:net";
import { Child } from "../harness/child.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Load, pause, type Tally } from "./load.ts";
import type { ComparedProxy, ProxyNeeds } from "./proxies.ts";
import { CountingUpstream } from "./upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** What a fault can act on. */
export interface FaultContext {
  readonly primary: CountingUpstream;
  readonly backup: CountingUpstream;
  readonly proxy: Child;
  /** Where the proxy listens. */
  readonly port: number;
  readonly folder: Folder;
}

export interface Fault {
  /** Its name on the command line. */
  readonly name: string;
  /** For a person, in the table. */
  readonly title: string;
  /** Upstreams whose sessions had to end. */
  readonly harmed: readonly ("primary" | "backup")[];
  /** What it needs of the proxy and of the machine; scripts are written into `folder`. */
  prepare?(folder: Folder): Promise<Prepared>;
  /** Whether it can be applied to this proxy; true by default. */
  fits?(proxyKind: ComparedProxy): boolean;
  /** The reason why it cannot be shown on this machine, as text; undefined if it can. */
  unsupportedReason?(): string | undefined;
  /** Causes the fault; resolves when it is over. */
  inject(context: FaultContext): Promise<void>;
}

export interface Prepared extends AsyncDisposable {
  readonly needs: ProxyNeeds;
  /** Wraps the command that runs the proxy. */
  readonly wrap?: (command: readonly string[]) => readonly string[];
}

/** The time of load before the fault, and after it is over. */
const BEFORE_MS = 700;
const AFTER_MS = 1_200;

/** Undefined if the proxy cannot be given what the fault needs. `patienceMs` is that of `Load`. */
export async function runFault(
  fault: Fault,
  proxyKind: ComparedProxy,
  patienceMs?: number,
): Promise<Tally | undefined> {
  if (fault.fits?.(proxyKind) === false) return undefined;
  await using folder = await Folder.make();
  await using prepared = await fault.prepare?.(folder);
  const needs = prepared?.needs ?? {};
  if (!Object.keys(needs).every((each) => proxyKind.knows.includes(each as keyof ProxyNeeds))) {
    return undefined;
  }
  await using primary = await CountingUpstream.start("primary", folder.path);
  await using backup = await CountingUpstream.start("backup", folder.path);
  const place = {
    folder: folder.path,
    port: unusedPort(),
    upstreams: [primary.port, backup.port],
  } as const;
  const plain = await proxyKind.command(place, needs);
  const [program, ...args] = prepared?.wrap?.(plain) ?? plain;
  const log: string[] = [];
  await using proxy = new Child(program!, { args, onErr: (line) => log.push(line) });
  await withTestDeadline(
    `${proxyKind.name} to serve`,
    served(place.port, proxy),
    () => log.join("\n"),
  );
  await using load = new Load(place.port, patienceMs);
  await withTestDeadline("the sessions to open", load.begin(), () => log.join("\n"));
  await pause(BEFORE_MS);
  await fault.inject({ primary, backup, proxy, port: place.port, folder });
  await pause(AFTER_MS);
  const logsNow = async () => [...await primary.requestLog(), ...await backup.requestLog()];
  await load.end();
  if (Deno.env.has("FAULTS_LOG")) console.error(log.join("\n"));
  return load.tally(await logsNow(), fault.harmed);
}

/** Resolves when a request was answered. */
async function served(port: number, proxy: Child): Promise<void> {
  while (!await isServed(port)) {
    if (proxy.hasEnded) throw new Error("the proxy ended before it served anybody");
    await pause(20);
  }
}

function isServed(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", () => {});
    socket.on("close", () => resolve(false));
    socket.on("data", (data: Uint8Array) => {
      resolve(/^HTTP\/1\.[01] 200 /.test(new TextDecoder().decode(data)));
      socket.destroy();
    });
    socket.write("GET / HTTP/1.1\r\nHost: faults.test\r\nConnection: close\r\n\r\n");
  });
}
