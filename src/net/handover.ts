/**
 * What a process hands over to the one that takes its place in an upgrade: its listening sockets, and connections
 * that go on in the new process. Rooms that own sockets know only these types; `upgrade/` carries them across.
 */

/** A listening socket. Its accept queue lives as long as either process has it open. */
export interface PassedListener {
  /** The service that it belongs to; `admin` and `control` (without a service) are the process's own. */
  readonly owner: ListenerOwner;
  /** As the operator wrote it, in the form of `formatAddress`: `127.0.0.1:5432`, `unix:/run/a.sock`. */
  readonly address: string;
  readonly descriptor: number;
  /**
   * It is the parent's of this process, such as systemd's, which passes it to each process that it starts: it must
   * never be shut down, and cannot be opened again.
   */
  readonly isLent?: boolean;
}

/** Who accepts the clients of a listening socket. */
export type ListenerOwner =
  | { readonly is: "service"; readonly name: string }
  | { readonly is: "admin" }
  | { readonly is: "control" };

/** An established connection, or several that belong together, such as both sides of a session. */
export interface Parcel {
  /** Names the code that can continue it, such as `splice`. */
  readonly kind: string;
  /** What that code needs to know, including bytes that were received and not yet sent on. */
  readonly content: Uint8Array<ArrayBuffer>;
  readonly descriptors: readonly number[];
}

/** Most bytes of `Parcel.content`, so that a parcel fits into one message (the default of wmem, socket(7)). */
export const PARCEL_BYTES_MAX = 136 * 1024;

/** Most descriptors of one parcel; the kernel allows 253 in a message (SCM_MAX_FD, unix(7)). */
export const PARCEL_DESCRIPTORS_MAX = 16;

/**
 * Sends one connection of a service to the new process. Resolves with true if the new process has it: the
 * caller then closes its own descriptors, without ending the connection. False: the caller keeps it. Never
 * rejects, and resolves within a few seconds.
 */
export type PassOn = (service: string, parcel: Parcel) => Promise<boolean>;

/**
 * Makes a connection that was received go on in this process, which owns its descriptors then. Until it is called nothing
 * happens to the connection: the process before may still have to go on with it.
 */
export type GoOn = () => void;

/** The listening socket for one port, if another process has left it to this one (`ReceivedListeners`). */
export interface ReceivedPort {
  take(): PassedListener | undefined;
  /** Takes back one that is lent. */
  giveBack(listener: PassedListener): void;
}

/** The listening sockets that a new process has received and that nobody has taken yet. */
export class ReceivedListeners {
  readonly #left: PassedListener[];

  constructor(listeners: readonly PassedListener[]) {
    this.#left = [...listeners];
  }

  /** This listener, once: its descriptor belongs to the caller then. Undefined if there is none. */
  take(owner: ListenerOwner, address: string): PassedListener | undefined {
    const place = this.#left.findIndex((each) =>
      isSameOwner(each.owner, owner) && each.address === address
    );
    return place === -1 ? undefined : this.#left.splice(place, 1)[0]!;
  }

  /** Takes back one that is lent, for the next part of this process that listens there. */
  giveBack(listener: PassedListener): void {
    this.#left.push(listener);
  }

  /** Whether there is such a listener; it stays where it is. */
  has(owner: ListenerOwner, address: string): boolean {
    return this.#left.some((each) => isSameOwner(each.owner, owner) && each.address === address);
  }

  /** Those that nobody has taken, which belong to the caller then: the options have changed since. */
  takeRest(): readonly PassedListener[] {
    return this.#left.splice(0);
  }
}

function isSameOwner(one: ListenerOwner, other: ListenerOwner): boolean {
  return one.is === "service"
    ? other.is === "service" && one.name === other.name
    : one.is === other.is;
}
