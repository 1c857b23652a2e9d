/** The control socket of the process, with the connections of its clients. Part of the composition root. */
import { type Clock, sleep } from "../base/clock.ts";
import { describe } from "../base/describe.ts";
import type { Publish } from "../events/events.ts";
import type { Server } from "../http1/server.ts";
import type { PassedListener, ReceivedListeners } from "../net/handover.ts";
import type { LocalListener } from "../net/linux/local_listener.ts";
import { Gate } from "./gate.ts";
import { LazyServer } from "./lazy_server.ts";

/** How long the end of a process that was replaced waits for its last answers to commands, in milliseconds. */
const LAST_ANSWERS_MS = 5_000;

/** What the socket needs from outside. */
export interface OperatorSocketParts {
  readonly clock: Clock;
  readonly publish: Publish;
  /** Makes the server, for the first client. */
  readonly server: () => Promise<Server>;
  /** Sockets that another process has left, among them perhaps this one. */
  readonly received: ReceivedListeners | undefined;
  /** Nobody is served before this has resolved; at once if it is missing. */
  readonly mayBegin: Promise<void> | undefined;
}

/** The open control socket. */
export class OperatorSocket implements AsyncDisposable {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #server: LazyServer;
  readonly #listener: LocalListener;
  /** The socket and its file are the service manager's. */
  readonly #isLent: boolean;
  /** The end of the connections, when another process has the socket; and what cuts them. */
  #left: Promise<void> | undefined;
  readonly #cut = new AbortController();

  /** Opens it, or resolves with the reason why that is not possible. */
  static async open(path: string, parts: OperatorSocketParts): Promise<OperatorSocket | string> {
    const { openControl } = await import("../control/control.ts");
    const { clock, publish, received, mayBegin } = parts;
    const server = new LazyServer(parts.server);
    const acceptee = mayBegin === undefined ? server : new Gate(server, mayBegin);
    const own = received?.take({ is: "control" }, `unix:${path}`);
    const listener = await openControl(path, acceptee, {
      ...{ clock, publish },
      received: own?.descriptor,
    });
    if (typeof listener === "string") return listener;
    listener.finished.catch((error) =>
      publish({ type: "proxy.faulted", reason: `the control socket ended: ${describe(error)}` })
    );
    return new OperatorSocket(path, clock, server, { listener, isLent: own?.isLent === true });
  }

  private constructor(
    path: string,
    clock: Clock,
    server: LazyServer,
    { listener, isLent }: { readonly listener: LocalListener; readonly isLent: boolean },
  ) {
    this.#path = path;
    this.#clock = clock;
    this.#server = server;
    this.#listener = listener;
    this.#isLent = isLent;
  }

  /** The socket, for another process; none where it cannot be handed over. */
  listeners(): readonly PassedListener[] {
    const { descriptor } = this.#listener;
    if (descriptor === undefined) return [];
    return [{
      owner: { is: "control" },
      address: `unix:${this.#path}`,
      descriptor,
      isLent: this.#isLent,
    }];
  }

  /** Accepts nobody any more, because another process does. Answers under way are still given. */
  leave(): void {
    this.#listener.leave();
    this.#left = this.#server.end(this.#cut.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#left === undefined) await this.#server.end();
    else {
      await Promise.race([this.#left, sleep(this.#clock, LAST_ANSWERS_MS)]);
      this.#cut.abort();
      await this.#left;
    }
    if (this.#isLent) this.#listener.leave();
    await this.#listener[Symbol.asyncDispose]();
  }
}
