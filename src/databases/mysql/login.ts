/** From an open connection to a session that takes questions: greeting, TLS, and the log-in. */
import { Fault } from "../../base/fault.ts";
import type { Conversation } from "../conversation.ts";
import { Cursor } from "../cursor.ts";
import { LoginRefused, NotReady } from "../server.ts";
import type { TlsSettings } from "../tls_layer.ts";
import {
  CAN,
  type Greeting,
  greetingOf,
  KIND,
  loginRequest,
  type MysqlComplaint,
  mysqlComplaint,
  notMysql,
  type Packet,
  packet,
  tlsRequest,
} from "./packets.ts";

/** The packets that a log-in may take; three is the most that servers send. */
const LOGIN_PACKETS_MAX = 10;

/** Who we are, and how the connection is to be. */
export interface MysqlAccount {
  readonly user: string;
  readonly password: string;
  /** `prefer` takes TLS if the server has it; undefined where the connection needs none, as on a unix socket. */
  readonly tls: { readonly isRequired: boolean; readonly settings: TlsSettings } | undefined;
}

/** Logs in, and resolves with the server's version. Rejects with `LoginRefused`, `NotReady` or a `Fault`. */
export async function logInToMysql(
  conversation: Conversation<Packet>,
  account: MysqlAccount,
): Promise<string> {
  const first = await conversation.next();
  if (first.body[0] === KIND.error) throw mysqlRefusal(mysqlComplaint(first.body));
  const greeting = greetingOf(first.body);
  if ((greeting.capabilities & CAN.protocol41) === 0) throw notMysql();
  await new Login(conversation, account, greeting).run();
  return greeting.version;
}

class Login {
  readonly #conversation: Conversation<Packet>;
  readonly #account: MysqlAccount;
  readonly #greeting: Greeting;
  #sequence = 1;

  constructor(conversation: Conversation<Packet>, account: MysqlAccount, greeting: Greeting) {
    this.#conversation = conversation;
    this.#account = account;
    this.#greeting = greeting;
  }

  async run(): Promise<void> {
    const { capabilities, scramble, plugin } = this.#greeting;
    let mine = CAN.longPassword | CAN.longFlag | CAN.protocol41 | CAN.transactions |
      CAN.secureConnection | CAN.pluginAuth | (capabilities & CAN.attributes);
    const { tls, user, password } = this.#account;
    if (tls !== undefined && (capabilities & CAN.tls) !== 0) {
      mine |= CAN.tls;
      this.#send(tlsRequest(mine));
      await this.#conversation.link.secure(tls.settings);
    } else if (tls?.isRequired) {
      this.#send(loginRequest(mine, { user, answer: new Uint8Array(0), plugin: NATIVE }));
      await this.#conversation.next();
      throw new LoginRefused("the server has no TLS, which is required");
    }
    // If the proposed kind is unknown here, the server names another one as soon as it knows the user.
    const kind = isKnown(plugin) ? plugin : "mysql_native_password";
    const answer = await answerOf(kind, password, scramble);
    this.#send(loginRequest(mine, { user, answer, plugin: kind }));
    let used = kind;
    for (let n = 0; n < LOGIN_PACKETS_MAX; n++) {
      const { body, sequence } = await this.#conversation.next();
      this.#sequence = sequence + 1;
      if (body[0] === KIND.ok) return;
      if (body[0] === KIND.error) throw mysqlRefusal(mysqlComplaint(body));
      if (body[0] === KIND.end) used = await this.#switch(body);
      else if (body[0] === KIND.more && used === CACHING) await this.#more(body);
      else throw notMysql();
    }
    throw new Fault("badResponse", "a log-in without end");
  }

  #send(body: Uint8Array): void {
    this.#conversation.link.send(packet(this.#sequence++, body));
  }

  /** The server wants another kind of log-in. */
  async #switch(body: Uint8Array): Promise<string> {
    const cursor = new Cursor(body.subarray(1));
    const plugin = cursor.left === 0 ? "mysql_old_password" : cursor.looseString();
    if (!isKnown(plugin)) {
      await this.#failInOrder();
      throw new LoginRefused(`the log-in by ${plugin.slice(0, 50)} is not supported`);
    }
    const scramble = cursor.rest();
    const end = scramble.at(-1) === 0 ? scramble.length - 1 : scramble.length;
    const answer = await answerOf(plugin, this.#account.password, scramble.slice(0, end));
    this.#send(answer);
    return plugin;
  }

  /** An empty answer is refused as a wrong one; a connection that just ends counts against this host. */
  async #failInOrder(): Promise<void> {
    this.#send(new Uint8Array(0));
    await this.#conversation.next();
  }

  /** `caching_sha2_password`: the server knows the hash (3), or wants the password itself (4). */
  async #more(body: Uint8Array): Promise<void> {
    if (body[1] === 3) return;
    if (body[1] !== 4) throw notMysql();
    if (!this.#conversation.link.isSecure) {
      await this.#failInOrder();
      throw new LoginRefused("the server wants the password over TLS (caching_sha2_password)");
    }
    this.#send(new Uint8Array([...new TextEncoder().encode(this.#account.password), 0]));
  }
}

const NATIVE = "mysql_native_password";
const CACHING = "caching_sha2_password";

function isKnown(plugin: string): boolean {
  return plugin === NATIVE || plugin === CACHING;
}

/** What proves that we know the password, without giving it away; empty if there is none. */
export async function answerOf(
  plugin: string,
  password: string,
  scramble: Uint8Array,
): Promise<Uint8Array> {
  if (password === "") return new Uint8Array(0);
  const bytes = new TextEncoder().encode(password);
  if (plugin === NATIVE) {
    const once = await hash("SHA-1", bytes);
    const mask = await hash("SHA-1", join(scramble, await hash("SHA-1", once)));
    return once.map((byte, at) => byte ^ mask[at]!);
  }
  const once = await hash("SHA-256", bytes);
  const mask = await hash("SHA-256", join(await hash("SHA-256", once), scramble));
  return once.map((byte, at) => byte ^ mask[at]!);
}

async function hash(
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest(name, bytes));
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** Host blocked: clients that come from this machine are refused as well, so the server is of no use. */
const HOST_BLOCKED = 1129;
const SHUTTING_DOWN = 1053;

/** What an error instead of a log-in means. */
export function mysqlRefusal({ code, text }: MysqlComplaint): Error {
  if (code === HOST_BLOCKED) return new Fault("badResponse", text);
  if (code === SHUTTING_DOWN) return new NotReady("shutting down", text);
  return new LoginRefused(text);
}
