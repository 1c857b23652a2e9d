/**
 * Listening sockets that systemd has opened for this process (socket activation, sd_listen_fds(3)). They stay open
 * while the process restarts: clients that connect meanwhile wait in the accept queue.
 */
import { type Address, formatAddress } from "../base/address.ts";
import type { SockAddr } from "../linux/kernel.ts";
import { isListeningFor, keepFromPrograms, listensAt } from "../linux/received_socket.ts";
import { addressOfSockaddr, ipSockaddr, literalSockaddr } from "../linux/sockaddr.ts";
import type { ListenerOwner, PassedListener } from "../net/handover.ts";

/** The number of the first descriptor (SD_LISTEN_FDS_START). */
const FIRST = 3;
/** More sockets than any unit has. */
const COUNT_MAX = 1_000;

/** The variables that no program may get that this process starts: they are about this process alone. */
export const OWN_VARIABLES = [
  "LISTEN_PID",
  "LISTEN_FDS",
  "LISTEN_FDNAMES",
  "WATCHDOG_PID",
] as const;

/** A place where this process is to listen. */
export interface WantedListener {
  readonly owner: ListenerOwner;
  readonly address: Address;
}

/** What was found among the descriptors. */
export interface Activation {
  readonly listeners: readonly PassedListener[];
  /** Descriptors that fit nothing, which the caller closes. */
  readonly unused: readonly number[];
  /** One line about each of them, and about variables that are not for this process. */
  readonly warnings: readonly string[];
}

/** How many descriptors there are; or a warning, if the variables cannot be used. */
function countOf(env: Readonly<Record<string, string>>, pid: number): number | string {
  const { LISTEN_FDS: count, LISTEN_PID: forPid } = env;
  if (count === undefined) return 0;
  if (forPid !== String(pid)) {
    return `LISTEN_FDS is for process ${forPid ?? "(no LISTEN_PID)"} and this is ${pid}: ` +
      "its sockets are not used";
  }
  const number = /^\d{1,4}$/.test(count) ? Number(count) : -1;
  if (number >= 0 && number <= COUNT_MAX) return number;
  return `LISTEN_FDS is "${count}", which is no number of sockets: they are not used`;
}

/**
 * Finds the sockets for the places where this process is to listen, by their addresses; of several that fit, the one
 * whose name (`FileDescriptorName=`, systemd.socket(5)) is that of the service. `lookUp` finds the address of a name.
 */
export async function activated(
  env: Readonly<Record<string, string>>,
  pid: number,
  wanted: readonly WantedListener[],
  lookUp: (name: string) => Promise<readonly string[]>,
): Promise<Activation> {
  const count = countOf(env, pid);
  if (typeof count === "string") return { listeners: [], unused: [], warnings: [count] };
  if (count === 0) return { listeners: [], unused: [], warnings: [] };
  const names = (env.LISTEN_FDNAMES ?? "").split(":");
  const places = await Promise.all(wanted.map(async (each) => ({
    ...each,
    sockaddr: await sockaddrOf(each.address, lookUp),
  })));
  const listeners: PassedListener[] = [];
  const unused: number[] = [];
  const warnings: string[] = [];
  for (let at = 0; at < count; at++) {
    const descriptor = FIRST + at;
    // A trigger may run before a port takes its socket.
    keepFromPrograms(descriptor);
    const name = names[at] ?? "";
    const place = placeFor(listensAt(descriptor), name, places);
    if (typeof place === "string") {
      warnings.push(`descriptor ${descriptor}${name && ` (${name})`} ${place}: not used`);
      unused.push(descriptor);
      continue;
    }
    places.splice(places.indexOf(place), 1);
    const { owner, address } = place;
    listeners.push({ owner, address: formatAddress(address), descriptor, isLent: true });
  }
  return { listeners, unused, warnings };
}

interface Place extends WantedListener {
  readonly sockaddr: SockAddr | undefined;
}

/** The place for a socket, or why there is none. */
function placeFor(
  found: SockAddr | undefined,
  name: string,
  places: readonly Place[],
): Place | string {
  if (found === undefined) return "is no listening stream socket";
  const fitting = places.filter(({ sockaddr }) =>
    sockaddr !== undefined && isListeningFor(found, sockaddr)
  );
  const where = formatAddress(addressOfSockaddr(found));
  const named = name === "" ? undefined : places.find(({ owner }) => nameOf(owner) === name);
  if (named !== undefined && !fitting.includes(named)) {
    return `listens on ${where}, and ${name} on ${formatAddress(named.address)}`;
  }
  return named ?? fitting[0] ?? `listens on ${where}, where this proxy does not`;
}

function nameOf(owner: ListenerOwner): string {
  return owner.is === "service" ? owner.name : owner.is;
}

async function sockaddrOf(
  address: Address,
  lookUp: (name: string) => Promise<readonly string[]>,
): Promise<SockAddr | undefined> {
  const literal = literalSockaddr(address);
  if (literal !== undefined || address.kind === "unix") return literal;
  const [ip] = await lookUp(address.host);
  return ip === undefined ? undefined : ipSockaddr(ip, address.port);
}
