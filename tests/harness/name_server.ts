/**
 * A name server for one test, which can become silent, and the command that makes a process use it: in a
 * separate mount namespace, with another /etc/resolv.conf. Needs root on Linux.
 */
import { createSocket, type Socket } from "node:dgram";
import type { Folder } from "./folder.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** Programs that a test with a name server needs. */
export const NEEDS_FOR_NAMES = ["unshare", "mount"];

/** Attempts to find an address that no other test uses. */
const ATTEMPTS_MAX = 100;
const HEADER_BYTES = 12;
const TYPE_A = 1;

/** True where this process may mount, and listen on port 53. */
export function mayServeNames(): boolean {
  return Deno.build.os === "linux" && Deno.uid() === 0 &&
    new Deno.Command("unshare", { args: ["-m", "true"] }).outputSync().code === 0;
}

export class NameServer implements AsyncDisposable {
  /** Answers nothing while this is true. */
  isSilent = false;
  /** Its answer to every question for an IPv4 address. */
  addresses: readonly string[] = ["127.0.0.1"];
  readonly #socket: Socket;
  readonly #unanswered = new Map<string, PromiseWithResolvers<void>>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (question, from) => {
      if (this.isSilent) this.#waiting(nameIn(question)).resolve();
      else socket.send(answerTo(question, this.addresses), from.port, from.address);
    });
  }

  /** Answers every name with `addresses`, and with no IPv6 address. */
  static async start(): Promise<NameServer> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const socket = await withTestDeadline("the name server to listen", boundTo(randomAddress()));
      if (socket !== undefined) return new NameServer(socket);
    }
    throw new Error("found no address to serve names on");
  }

  /** Resolves when it was asked for `name` and did not answer. */
  async unanswered(name: string): Promise<void> {
    await withTestDeadline(
      `an unanswered question for ${name}`,
      this.#waiting(name).promise,
    );
  }

  #waiting(name: string): PromiseWithResolvers<void> {
    const known = this.#unanswered.get(name) ?? Promise.withResolvers();
    this.#unanswered.set(name, known);
    return known;
  }

  /** The command that starts a process which uses only this name server. */
  async command(folder: Folder): Promise<string[]> {
    const file = await folder.write(
      "resolv.conf",
      `nameserver ${this.#socket.address().address}\n`,
    );
    const mount = `mount --bind '${file}' /etc/resolv.conf && exec "$@"`;
    return ["unshare", "-m", "sh", "-c", mount, "sh"];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}

/** An address of the loopback network that is rarely used. */
function randomAddress(): string {
  const part = () => 1 + Math.floor(Math.random() * 254);
  return `127.53.${part()}.${part()}`;
}

/** A socket on port 53, the only one that resolv.conf(5) knows; undefined if it is taken. */
function boundTo(address: string): Promise<Socket | undefined> {
  const socket = createSocket("udp4");
  return new Promise((resolve, reject) => {
    socket.once("error", (error: Error & { code?: string }) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    socket.bind(53, address, () => resolve(socket));
  });
}

/** The name that is asked for (RFC 1035 section 3.1). */
function nameIn(question: Uint8Array): string {
  const labels: string[] = [];
  for (let at = HEADER_BYTES; question[at]! > 0; at += 1 + question[at]!) {
    labels.push(new TextDecoder().decode(question.subarray(at + 1, at + 1 + question[at]!)));
  }
  return labels.join(".");
}

/** A response with the one question repeated, and for type A the answer (RFC 1035 section 4.1). */
function answerTo(question: Uint8Array, addresses: readonly string[]): Uint8Array {
  const nameEnd = question.indexOf(0, HEADER_BYTES) + 1;
  const asked = question.subarray(HEADER_BYTES, nameEnd + 4);
  const answers = question[nameEnd + 1] === TYPE_A ? addresses : [];
  const header = Uint8Array.from(question.subarray(0, HEADER_BYTES));
  // A response, recursion desired and available, no error; one question and so many answers.
  header.set([0x81, 0x80, 0, 1, 0, answers.length, 0, 0, 0, 0], 2);
  const record = [0xc0, HEADER_BYTES, 0, TYPE_A, 0, 1, 0, 0, 0, 1, 0, 4];
  const records = answers.flatMap((address) => [...record, ...address.split(".").map(Number)]);
  return Uint8Array.from([...header, ...asked, ...records]);
}
