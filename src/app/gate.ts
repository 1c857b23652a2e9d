/** A server that is closed until it may begin: a process that takes over serves nobody before that. */
import type { Conn } from "../net/conn.ts";
import type { Acceptee, Sockets } from "../net/transport.ts";

/** Has no room before `mayBegin` has resolved, and is the other server from then on. */
export class Gate implements Acceptee {
  readonly #server: Acceptee;
  readonly #mayBegin: Promise<void>;
  #isOpen = false;

  constructor(server: Acceptee, mayBegin: Promise<void>) {
    this.#server = server;
    this.#mayBegin = mayBegin.then(() => {
      this.#isOpen = true;
    });
  }

  get hasRoom(): boolean {
    return this.#isOpen && this.#server.hasRoom;
  }

  async room(): Promise<void> {
    await this.#mayBegin;
    if (!this.#server.hasRoom) await this.#server.room();
  }

  async serve(conn: Conn, peer: string): Promise<void> {
    await this.#mayBegin;
    await this.#server.serve(conn, peer);
  }
}

/** The same sockets, at whose listeners nobody is accepted before `mayBegin` has resolved; at once if it is missing. */
export function gated(sockets: Sockets, mayBegin: Promise<void> | undefined): Sockets {
  if (mayBegin === undefined) return sockets;
  const { terminator } = sockets;
  return {
    dialer: (options) => sockets.dialer(options),
    ...terminator === undefined ? {} : { terminator: terminator.bind(sockets) },
    listen: (address, acceptee, options) =>
      sockets.listen(address, new Gate(acceptee, mayBegin), options),
    close: () => sockets.close(),
  };
}
