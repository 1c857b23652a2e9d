/** The probe of a PostgreSQL server. */
import { Fault } from "../../base/fault.ts";
import type { ServerReport } from "../../failover/server_report.ts";
import type { Conversation } from "../conversation.ts";
import { cancelled, endingOnAbort } from "../cancel.ts";
import type { Protocol, ServerSession } from "../kept_probe.ts";
import { Link } from "../link.ts";
import { LoginRefused, NotReady } from "../server.ts";
import type { DatabaseSettings } from "../settings.ts";
import { accountOf, attemptsOf, sslModeOf, tlsOf, userOf } from "./account.ts";
import { askForTls, converse, leave, logInToPostgres } from "./login.ts";
import { type Message, postgresComplaint } from "./messages.ts";
import { askRole, orderPromotion } from "./question.ts";

/** How to talk to the PostgreSQL server at `address`. */
export function postgresProtocol(settings: DatabaseSettings): Protocol {
  const { address } = settings;
  const mode = address.kind === "unix" ? "disable" : sslModeOf(settings) ?? "prefer";

  function connect(signal: AbortSignal): Promise<Link> {
    // The signal has the deadline.
    return Link.open(address, { clock: settings.clock, timeoutMs: Infinity, signal });
  }

  async function attempt(useTls: boolean, signal: AbortSignal): Promise<ServerSession> {
    const account = await accountOf(settings, address);
    const tls = useTls ? await tlsOf(mode, settings) : undefined;
    const link = await connect(signal);
    return await endingOnAbort(link, signal, async () => {
      if (tls !== undefined) {
        const hasTls = await askForTls(link, tls);
        if (!hasTls && mode !== "prefer" && mode !== "allow") {
          throw new LoginRefused(`the server has no TLS, which PGSSLMODE=${mode} asks for`);
        }
      }
      const conversation = converse(link);
      await logInToPostgres(conversation, account);
      return new PostgresSession(conversation);
    });
  }

  return {
    hasAccount: () => userOf(settings) !== undefined,
    canPromote: true,
    // Not logged, not counted, and no session of `max_connections`.
    connectSilently: connect,
    withoutAccount: "no user to log in with (PGUSER or --check-user)",
    async logIn(signal) {
      const attempts = attemptsOf(mode);
      for (const [at, useTls] of attempts.entries()) {
        try {
          return await attempt(useTls, signal);
        } catch (error) {
          if (signal.aborted) throw cancelled();
          if (at === attempts.length - 1 || !mayTryOtherwise(error)) throw error;
        }
      }
      throw new Fault("internalError", "no attempt to log in");
    },
    async knock(signal) {
      const link = await connect(signal);
      return await endingOnAbort(link, signal, async () => {
        // The log says nothing of a connection that ends here in order. Nothing is sent that could need to be secret.
        try {
          await askForTls(link, { verify: "none" });
        } catch (error) {
          // It took part in the handshake, and that is enough.
          if (!(error instanceof LoginRefused)) throw error;
        }
        await link.close();
        return { role: "unknown", phase: "running" };
      });
    },
  };
}

/** As libpq: with `prefer` and `allow` the other way is tried if TLS or the rules of pg_hba.conf forbid this one. */
function mayTryOtherwise(error: unknown): boolean {
  return error instanceof LoginRefused && /pg_hba\.conf|TLS/.test(error.message);
}

class PostgresSession implements ServerSession {
  onEnd: (reason: string) => void = () => {};
  readonly #conversation: Conversation<Message>;

  constructor(conversation: Conversation<Message>) {
    this.#conversation = conversation;
    conversation.onEnd = (fault) => this.onEnd(this.#lastWords() ?? fault.message);
  }

  get isOver(): boolean {
    return this.#conversation.isOver;
  }

  async ask(): Promise<ServerReport> {
    try {
      return await askRole(this.#conversation);
    } catch (error) {
      if (!(error instanceof NotReady)) throw error;
      // The session ends with this; a new one shows whether the server does.
      this.#conversation.abort(new Fault("responseCut", error.message));
      throw new Fault("responseCut", error.message);
    }
  }

  promote(): Promise<void> {
    return orderPromotion(this.#conversation);
  }

  abort(fault: Fault): void {
    this.#conversation.abort(fault);
  }

  close(): Promise<void> {
    return leave(this.#conversation);
  }

  /** What the server said before it ended the session, if it did, such as that it is shutting down. */
  #lastWords(): string | undefined {
    const last = this.#conversation.unread().findLast(({ type }) => type === "E");
    try {
      return last === undefined ? undefined : postgresComplaint(last.body).text;
    } catch {
      return undefined; // It is malformed; the fault of the connection says enough.
    }
  }
}
