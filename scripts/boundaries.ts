/**
 * Enforces the house rules that a compiler cannot: which room may import which, where the outside world
 * may be touched, and the rules about sizes and places of `house_rules.ts`. Prints each breach on a line;
 * exit code 1 if there is one.
 */
import {
  cycles,
  doubleNames,
  isTestCode,
  misplacedTestCode,
  type Source,
  tooLong,
  unlisted,
  untested,
  withoutDoor,
  wrongReasons,
} from "./house_rules.ts";
import { UNTESTED } from "./untested.ts";

const root = new URL("../src/", import.meta.url);
const ARCHITECTURE = new URL("../.github/ARCHITECTURE.md", import.meta.url);

/** What each room may import besides itself. `app` joins them all, and only `main.ts` stands above it. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  events: ["base"],
  config: ["base"],
  failover: ["base", "events"],
  linux: ["base"],
  net: ["base", "linux"],
  http1: ["base", "linux", "net"],
  http2: ["base", "http1", "net"],
  health: ["base", "events", "failover", "http1", "net"],
  hooks: ["base", "events", "failover"],
  threads: ["base", "events", "failover", "linux", "net"],
  relay: ["base", "events", "failover", "linux", "net", "threads"],
  gateway: ["base", "events", "failover", "http1", "http2", "net"],
  cluster: ["base", "events", "failover"],
  state: ["base", "events", "failover"],
  incidents: ["base", "events", "failover", "state"],
  report: ["base", "events", "failover", "incidents"],
  admin: ["base", "events", "failover", "http1", "incidents", "net"],
  control: ["base", "events", "linux", "net"],
  systemd: ["base", "linux", "net"],
  upgrade: ["base", "linux", "net"],
  commands: ["base", "config", "events", "failover", "incidents", "net", "report"],
  databases: ["base", "failover", "health", "net"],
  explain: ["base", "config", "health", "hooks"],
  app: [
    "base",
    "events",
    "config",
    "failover",
    "linux",
    "net",
    "http1",
    "health",
    "databases",
    "hooks",
    "threads",
    "relay",
    "gateway",
    "incidents",
    "state",
    "report",
    "admin",
    "control",
    "systemd",
    "cluster",
    "explain",
    "upgrade",
  ],
};

/** The files through which a room is entered, if they are not named like the room. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  base: [], // small modules, each with one purpose
  cluster: ["coordinator.ts", "etcd_client.ts"],
  config: ["load.ts", "options.ts"],
  failover: ["controller.ts", "ports.ts"],
  health: ["checker.ts"],
  hooks: ["program.ts", "check.ts", "trigger.ts"],
  http1: ["server.ts", "pool.ts"],
  http2: ["server.ts"],
  linux: ["libc.ts", "loop.ts"],
  net: ["transport.ts"],
  report: ["log.ts", "webhook.ts"],
  systemd: ["activation.ts", "notify.ts"],
  threads: ["thread_group.ts", "thread.ts"],
  upgrade: ["upgrade.ts", "takeover.ts"],
};

/** Where things that touch the world may stand. */
const ONLY_IN: readonly { readonly what: RegExp; readonly where: RegExp; readonly why: string }[] =
  [
    {
      what: /\bDeno\.(dlopen|UnsafePointer|UnsafePointerView|UnsafeCallback)\b/,
      where:
        /^linux\/(libc|open_libc|process_libc|pass_descriptors|message_memory|datagram|open_openssl|certificate_names|tls_session|tls_server|testing\/(raw_socket|key_updates|native_memory))\.ts$/,
      why: "the only unsafe files, but for what only a test needs",
    },
    {
      what: /\bDeno\.(env|args|exit|exitCode)\b/,
      where: /^main\.ts$/,
      why: "argv and signals in, exit code out",
    },
    {
      what: /\bDate\.now\b|\bsetTimeout\b|\bsetInterval\b|AbortSignal\.timeout/,
      where: /^base\/clock\.ts$/,
      why: "the only clock",
    },
    {
      what: /\bDeno\.Command\b/,
      where: /^(hooks\/|upgrade\/program\.ts$)/,
      why:
        "programs run with a deadline and in a separate process group; the next version of the proxy is no such program",
    },
    {
      what: /\bDeno\.connect\b/,
      where: /^(net\/deno\/dial|gateway\/tls\/announced_tls)\.ts$/,
      why: "one dialer; a port of this process is connected to without one",
    },
    {
      what: /\b(kernel|libc)\.connect\(/,
      where: /^(net\/linux\/(dial|bind|try_connect)|relay\/splice\/dialer)\.ts$/,
      why:
        "one dialer for each kind of loop, and a check without one; who listens on a unix socket is asked without one",
    },
    {
      what: /\b(kernel|libc)\.accept\(|\blistener\.accept\(/,
      where: /^(net\/(linux\/listener|deno\/(received_)?listener)|linux\/self_examination)\.ts$/,
      why: "one accept loop for each kind of sockets, with the same pauses in a shortage",
    },
    {
      what: /\bDeno\.(listen|listenTls)\b|\b(kernel|libc)\.listen\(/,
      where:
        /^(net\/deno\/bind|net\/linux\/bind|gateway\/tls\/listen_tls|linux\/self_examination)\.ts$/,
      why: "one way to listen for each kind of sockets; TLS listeners are Deno's",
    },
    {
      what: /\bcrypto\.subtle\b/,
      where: /^(admin|databases)\//,
      why: "it answers by Deno's event loop, which a data-plane thread sees only in a while",
    },
    { what: /\bconsole\./, where: /^main\.ts$/, why: "everything else publishes events" },
  ];

async function sources(folder: URL, prefix = ""): Promise<Source[]> {
  const found: Source[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = prefix + entry.name;
    if (entry.isDirectory) {
      found.push(...await sources(new URL(`${entry.name}/`, folder), `${path}/`));
    } else if (path.endsWith(".ts")) {
      found.push({ path, text: await Deno.readTextFile(new URL(entry.name, folder)) });
    }
  }
  return found.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** The breaches of one file, a line each. */
export function breaches({ path, text }: Source): string[] {
  const isTest = isTestCode(path);
  const found: string[] = [];
  const room = path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined;
  for (
    const [, from, bare, loaded] of text.matchAll(
      /^(?:import|export)\b[^"';]*?\bfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm,
    )
  ) {
    const specifier = from ?? bare ?? loaded!;
    if (!isTest && specifier.endsWith("_test.ts")) {
      found.push(
        `src/${path}: ${specifier} is named like a test, which the executable does not have`,
      );
    }
    const to = roomOf(path, specifier);
    if (room === undefined || to === undefined || to === room || isTest) continue;
    const allowed = MAY_IMPORT[room];
    if (allowed === undefined) found.push(`src/${path}: room ${room} is not in the table of rooms`);
    else if (!allowed.includes(to)) {
      found.push(`src/${path}: ${room} must not import ${to} (${specifier})`);
    }
  }
  const code = text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, "");
  for (const { what, where, why } of ONLY_IN) {
    const hit = isTest || where.test(path) ? null : what.exec(code);
    if (hit !== null) found.push(`src/${path}: ${hit[0]} belongs in ${where.source} (${why})`);
  }
  found.push(...tooLong({ path, text }), ...misplacedTestCode({ path, text }));
  return found;
}

/** The room an import leads to; undefined for packages and files above the rooms. */
function roomOf(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  const path = new URL(specifier, new URL(from, root)).pathname.slice(root.pathname.length);
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined;
}

/** True if there is a file at this path, which is relative to the tree. */
function isFile(path: string): boolean {
  try {
    return path !== "" && Deno.statSync(new URL(`../${path}`, import.meta.url)).isFile;
  } catch {
    return false;
  }
}

if (import.meta.main) {
  const files = await sources(root);
  if (files.length < 20) {
    throw new Error(`Cannot check boundaries: found only ${files.length} files`);
  }
  const paths = files.map(({ path }) => path);
  const outside = await Promise.all(["tests", "scripts"].map(async (folder) => {
    const all = await sources(new URL(`../${folder}/`, import.meta.url));
    return all.flatMap((file) => tooLong(file, folder));
  }));
  const found = [
    ...files.flatMap(breaches),
    ...outside.flat(),
    ...untested(paths, UNTESTED),
    ...wrongReasons(files, UNTESTED, isFile),
    ...withoutDoor(paths, DOORS),
    ...cycles(MAY_IMPORT),
    ...doubleNames(files),
    ...unlisted(paths, MAY_IMPORT, await Deno.readTextFile(ARCHITECTURE)),
  ];
  for (const line of found) console.error(line);
  if (found.length > 0) Deno.exit(1);
  console.log(`${files.length} files keep to their rooms`);
}
