/** From an open connection to a session that takes questions: TLS, and the log-in. */
import { Fault } from "../../base/fault.ts";
import { Conversation } from "../conversation.ts";
import { Cursor } from "../cursor.ts";
import { ended, type Link } from "../link.ts";
import { LoginRefused, NotReady } from "../server.ts";
import type { TlsSettings } from "../tls_layer.ts";
import type { Account } from "./account.ts";
import {
  type Message,
  password as passwordMessage,
  type PostgresComplaint,
  postgresComplaint,
  PostgresFramer,
  saslInitial,
  saslResponse,
  sslRequest,
  startup,
  terminate,
} from "./messages.ts";
import { Scram } from "./scram.ts";

/** The messages that a log-in may take; a server sends about twenty. */
const LOGIN_MESSAGES_MAX = 200;

/** The name of our connection in `pg_stat_activity`. */
export const APPLICATION_NAME = "failover";

/** Asks for TLS, and starts it if the server has it. Resolves with whether it does. */
export async function askForTls(link: Link, settings: TlsSettings): Promise<boolean> {
  const answer = Promise.withResolvers<Uint8Array>();
  link.onBytes = (bytes) => answer.resolve(bytes.slice());
  link.onEnd = answer.reject;
  if (link.isOver) throw ended();
  link.send(sslRequest());
  const bytes = await answer.promise;
  // More than one byte could have been put there by somebody in between (CVE-2021-23222). An `E` begins an error
  // message, which servers send that lack the resources to take part.
  if (bytes[0] === 0x45) throw new Fault("badResponse", "the server is short of something");
  if (bytes.length !== 1 || (bytes[0] !== 0x53 && bytes[0] !== 0x4e)) {
    throw new Fault("badResponse", "no message of PostgreSQL's protocol");
  }
  if (bytes[0] === 0x4e) return false;
  await link.secure(settings);
  return true;
}

/** Logs in. Rejects with `LoginRefused`, `NotReady` or a `Fault`; the caller ends the conversation then. */
export async function logInToPostgres(
  conversation: Conversation<Message>,
  account: Account,
): Promise<void> {
  conversation.link.send(startup({
    user: account.user,
    database: account.database,
    application_name: APPLICATION_NAME,
    client_encoding: "UTF8",
  }));
  const authentication = new Authentication(conversation.link, account);
  for (let n = 0; n < LOGIN_MESSAGES_MAX; n++) {
    const { type, body } = await conversation.next();
    if (type === "R") await authentication.step(new Cursor(body));
    else if (type === "E") throw postgresRefusal(postgresComplaint(body));
    else if (type === "Z") {
      if (!authentication.isDone) throw new Fault("badResponse", "a session without a log-in");
      return;
    } else if (!"SKNv".includes(type)) {
      throw new Fault("badResponse", `an unexpected message of type ${type}`);
    }
  }
  throw new Fault("badResponse", "a log-in without end");
}

class Authentication {
  isDone = false;
  readonly #link: Link;
  readonly #account: Account;
  #scram: Scram | undefined;
  #isVerified = false;

  constructor(link: Link, account: Account) {
    this.#link = link;
    this.#account = account;
  }

  async step(cursor: Cursor): Promise<void> {
    const what = cursor.u32();
    switch (what) {
      case 0:
        if (this.#scram !== undefined && !this.#isVerified) {
          throw new LoginRefused("the server ended SCRAM too early");
        }
        this.isDone = true;
        return;
      case 3:
        return this.#link.send(passwordMessage(this.#password()));
      case 5:
        return this.#link.send(passwordMessage(await this.#md5(cursor.bytes(4))));
      case 10:
        return this.#beginSasl(cursor);
      case 11:
        return this.#link.send(saslResponse(await this.#running().final(textOf(cursor))));
      case 12:
        this.#running().verify(textOf(cursor));
        this.#isVerified = true;
        return;
      default:
        throw new LoginRefused(
          `the server asks for a kind of log-in that is not supported (${what})`,
        );
    }
  }

  #beginSasl(cursor: Cursor): void {
    const offered: string[] = [];
    for (let name = cursor.cstring(); name !== ""; name = cursor.cstring()) offered.push(name);
    if (!offered.includes("SCRAM-SHA-256")) {
      throw new LoginRefused(`the server offers only ${offered.join(", ")}`);
    }
    const nonce = crypto.getRandomValues(new Uint8Array(18)).toBase64();
    this.#scram = new Scram(this.#password(), nonce);
    this.#link.send(saslInitial("SCRAM-SHA-256", this.#scram.first()));
  }

  #running(): Scram {
    if (this.#scram === undefined) throw new Fault("badResponse", "SCRAM that was not begun");
    return this.#scram;
  }

  /** Without one we leave here, of which the server's log says nothing. */
  #password(): string {
    const { password, user } = this.#account;
    if (password !== undefined) return password;
    throw new LoginRefused(`the server wants a password for user ${user}, and there is none`);
  }

  async #md5(salt: Uint8Array): Promise<string> {
    // Loaded for servers that still use it; it takes some megabytes.
    const { createHash } = await import("node:crypto");
    const inner = createHash("md5").update(this.#password() + this.#account.user).digest("hex");
    return `md5${createHash("md5").update(inner).update(salt).digest("hex")}`;
  }
}

function textOf(cursor: Cursor): string {
  return new TextDecoder().decode(cursor.rest());
}

/** What a refused start means, as libpq's PQping classifies it: only 57P03 says that the server is not ready. */
export function postgresRefusal({ code, text }: PostgresComplaint): Error {
  if (code !== "57P03") return new LoginRefused(text);
  return new NotReady(/shutting down/.test(text) ? "shutting down" : "starting", text);
}

/** Says goodbye and ends the connection. */
export function leave(conversation: Conversation<Message>): Promise<void> {
  conversation.link.send(terminate());
  return conversation.close();
}

/** Begins a conversation on a link whose TLS, if any, was started. */
export function converse(link: Link): Conversation<Message> {
  return new Conversation(link, new PostgresFramer());
}
