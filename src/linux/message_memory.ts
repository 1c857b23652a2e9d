/**
 * The memory of one message with descriptors, laid out as the kernel expects it: `struct msghdr`, `struct iovec` and
 * `struct cmsghdr` (sys/socket.h) with 64-bit pointers, one after another in one piece that never moves, and then the
 * bytes. A wrong line here crashes the process. Its pointers point only into itself.
 */

/** The most bytes in one message, which fit into the queue that a socket has by default (wmem_default, socket(7)). */
export const MESSAGE_BYTES_MAX = 144 * 1024;
/** The most descriptors with one message; the kernel's own limit is 253 (SCM_MAX_FD, unix(7)). */
export const MESSAGE_DESCRIPTORS_MAX = 128;

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x08;
const MSG_TRUNC = 0x20;

const HEAD_BYTES = 56;
const VECTOR_AT = HEAD_BYTES;
const CONTROL_AT = VECTOR_AT + 16;
const CONTROL_HEAD_BYTES = 16;
/** Room for as many descriptors as the kernel ever passes at once, so that none is cut off for want of it. */
const CONTROL_BYTES = CONTROL_HEAD_BYTES + 1_024;
const DATA_AT = CONTROL_AT + CONTROL_BYTES;
const NAME_LENGTH_AT = 8;
const VECTOR_POINTER_AT = 16;
const VECTOR_COUNT_AT = 24;
const CONTROL_POINTER_AT = 32;
const CONTROL_LENGTH_AT = 40;
const FLAGS_AT = 48;

/** What the kernel has put into the memory. */
export interface TakenMessage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Open in this process from now on. */
  readonly descriptors: readonly number[];
  /** Bytes are missing at the end (MSG_TRUNC, recvmsg(2)). */
  readonly isTooLong: boolean;
  /** Descriptors are missing at the end (MSG_CTRUNC). */
  readonly isCut: boolean;
}

/** For one message at a time, sent or received. */
export class MessageMemory {
  readonly #memory = new ArrayBuffer(DATA_AT + MESSAGE_BYTES_MAX);
  readonly #view = new DataView(this.#memory);
  /** All of it, which begins with the `struct msghdr`. */
  readonly bytes = new Uint8Array(this.#memory);
  readonly #at = BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(this.bytes)));

  /** Writes a message to be sent. Returns false if it is empty, too long, or has too many descriptors. */
  put(bytes: Uint8Array, descriptors: readonly number[]): boolean {
    const { length } = bytes;
    if (length === 0 || length > MESSAGE_BYTES_MAX) return false;
    if (descriptors.length > MESSAGE_DESCRIPTORS_MAX) return false;
    this.bytes.set(bytes, DATA_AT);
    this.#putHead(length, this.#putDescriptors(descriptors));
    return true;
  }

  /** Makes room for a message to be received. */
  clear(): void {
    this.#putHead(MESSAGE_BYTES_MAX, CONTROL_BYTES);
  }

  /** Reads a message of `count` bytes that was received. */
  take(count: number): TakenMessage {
    const flags = this.#view.getInt32(FLAGS_AT, true);
    return {
      bytes: this.bytes.slice(DATA_AT, DATA_AT + count),
      descriptors: this.#takeDescriptors(),
      isTooLong: (flags & MSG_TRUNC) !== 0,
      isCut: (flags & MSG_CTRUNC) !== 0,
    };
  }

  #putHead(dataBytes: number, controlBytes: number): void {
    const view = this.#view;
    view.setBigUint64(0, 0n, true); // no name
    view.setUint32(NAME_LENGTH_AT, 0, true);
    view.setBigUint64(VECTOR_POINTER_AT, this.#at + BigInt(VECTOR_AT), true);
    view.setBigUint64(VECTOR_COUNT_AT, 1n, true);
    const control = controlBytes === 0 ? 0n : this.#at + BigInt(CONTROL_AT);
    view.setBigUint64(CONTROL_POINTER_AT, control, true);
    view.setBigUint64(CONTROL_LENGTH_AT, BigInt(controlBytes), true);
    view.setInt32(FLAGS_AT, 0, true);
    view.setBigUint64(VECTOR_AT, this.#at + BigInt(DATA_AT), true);
    view.setBigUint64(VECTOR_AT + 8, BigInt(dataBytes), true);
  }

  /** Returns the length of the control data. */
  #putDescriptors(descriptors: readonly number[]): number {
    if (descriptors.length === 0) return 0;
    const view = this.#view;
    const length = CONTROL_HEAD_BYTES + 4 * descriptors.length;
    view.setBigUint64(CONTROL_AT, BigInt(length), true);
    view.setInt32(CONTROL_AT + 8, SOL_SOCKET, true);
    view.setInt32(CONTROL_AT + 12, SCM_RIGHTS, true);
    descriptors.forEach((fd, place) =>
      view.setInt32(CONTROL_AT + CONTROL_HEAD_BYTES + 4 * place, fd, true)
    );
    return aligned(length);
  }

  #takeDescriptors(): number[] {
    const view = this.#view;
    const length = Number(view.getBigUint64(CONTROL_LENGTH_AT, true));
    const end = CONTROL_AT + Math.min(length, CONTROL_BYTES);
    const found: number[] = [];
    for (let at = CONTROL_AT; at + CONTROL_HEAD_BYTES <= end;) {
      const partLength = Number(view.getBigUint64(at, true));
      if (partLength < CONTROL_HEAD_BYTES) break;
      const isRights = view.getInt32(at + 8, true) === SOL_SOCKET &&
        view.getInt32(at + 12, true) === SCM_RIGHTS;
      const last = Math.min(at + partLength, end);
      for (let fd = at + CONTROL_HEAD_BYTES; isRights && fd + 4 <= last; fd += 4) {
        found.push(view.getInt32(fd, true));
      }
      at += aligned(partLength);
    }
    return found;
  }
}

/** Control data is in units of eight bytes (CMSG_ALIGN, cmsg(3)). */
function aligned(length: number): number {
  return (length + 7) & ~7;
}
