/** A name server for tests: it resolves every name to 127.0.0.1, and can become silent (RFC 1035). */
import { createSocket, type Socket } from "node:dgram";

/** Port 53 of an address of the loopback network that nobody else uses; resolv.conf knows no other port. */
const PORT = 53;
let nextAddress = 77;

export class DnsServer implements AsyncDisposable {
  static readonly #all = new Set<DnsServer>();
  readonly address: string;
  readonly #socket: Socket;
  #silent = false;

  private constructor(address: string, socket: Socket) {
    this.address = address;
    this.#socket = socket;
    socket.on("message", (query, peer) => {
      if (!this.#silent) socket.send(answerTo(query), peer.port, peer.address);
    });
    DnsServer.#all.add(this);
  }

  static async start(): Promise<DnsServer> {
    const address = `127.0.0.${nextAddress++}`;
    const socket = createSocket("udp4");
    await new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.bind(PORT, address, resolve);
    });
    return new DnsServer(address, socket);
  }

  /** All of them receive queries and answer none, until that is changed. */
  static silence(silent: boolean): void {
    for (const server of DnsServer.#all) server.#silent = silent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    DnsServer.#all.delete(this);
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}

/** The query's own bytes up to the end of its question, with one A record; none for other types. */
function answerTo(query: Uint8Array): Uint8Array {
  let end = 12;
  while (query[end] !== 0) end += query[end]! + 1;
  const isA = query[end + 2] === 1;
  end += 5;
  const record = [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1];
  const answer = new Uint8Array([...query.subarray(0, end), ...isA ? record : []]);
  answer.set([0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0], 2);
  return answer;
}
