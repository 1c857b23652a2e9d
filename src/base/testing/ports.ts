/**
 * Ports for tests that need to know one before anybody listens on it. Test files run at the same time, as
 * threads of one process or in several processes, so each of them has a block of ports that nobody else
 * gets: it listens on the first port of its block as long as it runs. The blocks are outside the range
 * from which the system picks ports itself (port 0, and the local ports of connections).
 */

/** The number of ports in a block. All but the first are handed out, to one test file. */
const BLOCK = 400;
/** Ports of well-known services are below. */
const LOWEST = 10_000;
const HIGHEST = 65_535;
/**
 * The range from which Linux picks ports unless configured otherwise (net.ipv4.ip_local_port_range); other
 * systems use a higher one.
 */
const USUAL_RANGE = [32_768, 60_999] as const;

/** The first ports of all blocks that do not touch the range `from` to `to`. */
export function blocksOutside([from, to]: readonly [number, number]): number[] {
  const found: number[] = [];
  for (let first = LOWEST; first + BLOCK - 1 <= HIGHEST; first += BLOCK) {
    if (first + BLOCK <= from || first > to) found.push(first);
  }
  return found;
}

function rangeOfSystem(): readonly [number, number] {
  if (Deno.build.os !== "linux") return USUAL_RANGE;
  const text = Deno.readTextFileSync("/proc/sys/net/ipv4/ip_local_port_range");
  const [from, to] = text.trim().split(/\s+/).map(Number);
  return [from!, to!];
}

/** A listener if nobody listens on that port of any IPv4 address. */
function tryListen(hostname: string, port: number): Deno.TcpListener | undefined {
  try {
    return Deno.listen({ hostname, port });
  } catch (error) {
    // Windows reserves some ports, and denies permission for them.
    const taken = error instanceof Deno.errors.AddrInUse ||
      error instanceof Deno.errors.PermissionDenied;
    if (taken) return undefined;
    throw error;
  }
}

/**
 * Takes a block until this thread ends. The first one to be tried is random, as many threads may look for
 * one at a time.
 */
function takeBlock(): number {
  const outside = blocksOutside(rangeOfSystem());
  // If the system picks from all ports, any block must do.
  const all = outside.length > 0 ? outside : blocksOutside([0, 0]);
  const offset = Math.floor(Math.random() * all.length);
  for (const first of [...all.slice(offset), ...all.slice(0, offset)]) {
    // Not closed on purpose: this is what holds the block.
    if (tryListen("127.0.0.1", first) !== undefined) return first;
  }
  throw new Error(`all ${all.length} blocks of ports for tests are taken`);
}

/**
 * Ports on which somebody listens (proc_net_tcp(5): state 0A). Nothing is listened on for this: while another thread
 * starts a process, that has a copy of each descriptor of this one for a moment, and what was closed here still listens.
 */
function listeningPorts(): ReadonlySet<number> {
  const found = new Set<number>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const [, port] of Deno.readTextFileSync(file).matchAll(/: \w+:(\w{4}) \w+:\w+ 0A /g)) {
      found.add(parseInt(port!, 16));
    }
  }
  return found;
}

// The block is taken while the module loads, as a test must close each listener that it opens.
const first = takeBlock();
let handedOut = 0;
let listening: ReadonlySet<number> = new Set();

/**
 * A port of 127.0.0.1 and of all other addresses that nobody listens on. The same one comes again after
 * `BLOCK - 1` calls at the earliest.
 */
export function unusedPort(): number {
  for (let attempt = 1; attempt < BLOCK; attempt++) {
    const place = handedOut++ % (BLOCK - 1);
    const port = first + 1 + place;
    // Nobody else gets a port of this block, so it is enough to look when all have been handed out.
    if (place === 0 && Deno.build.os === "linux") listening = listeningPorts();
    if (Deno.build.os === "linux" ? !listening.has(port) : isFree(port)) return port;
  }
  throw new Error(`all ports from ${first} to ${first + BLOCK - 1} are taken`);
}

function isFree(port: number): boolean {
  const listener = tryListen("0.0.0.0", port);
  listener?.close();
  return listener !== undefined;
}
