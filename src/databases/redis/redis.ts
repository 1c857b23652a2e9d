/** The probe of a Redis or Valkey server. */
import { backoffMs } from "../../base/backoff.ts";
import { Fault } from "../../base/fault.ts";
import type { ServerReport } from "../../failover/server_report.ts";
import { PromotionRefused } from "../../health/server_probe.ts";
import { endingOnAbort } from "../cancel.ts";
import { Conversation } from "../conversation.ts";
import { passwordFrom } from "../files.ts";
import { LOGIN_PAUSE_MAX_MS, type Protocol, type ServerSession } from "../kept_probe.ts";
import { Link } from "../link.ts";
import { LoginRefused } from "../server.ts";
import type { DatabaseSettings } from "../settings.ts";
import { tlsFrom } from "../tls_mode.ts";
import { redisReport } from "./question.ts";
import { command, RedisError, type RedisReply, RespFramer } from "./resp.ts";

/** How to talk to the Redis or Valkey server at `address`. */
export function redisProtocol(settings: DatabaseSettings): Protocol {
  const { address } = settings;
  const refusals = new Refusals();

  async function open(signal: AbortSignal): Promise<ServerSession> {
    // The signal has the deadline.
    const limits = { clock: settings.clock, timeoutMs: Infinity, signal };
    const tls = await tlsFrom(settings, "disable");
    const link = await Link.open(address, limits);
    return await endingOnAbort(link, signal, async () => {
      if (tls !== undefined) await link.secure(tls.settings);
      const conversation = new Conversation(link, new RespFramer());
      return new RedisSession(conversation, settings, refusals);
    });
  }

  return {
    // A server says whether it wants one.
    hasAccount: () => true,
    canPromote: true,
    withoutAccount: "",
    logIn: open,
    async knock(signal) {
      const session = await open(signal);
      return await session.ask().finally(() => session.close());
    },
  };
}

/** Log-ins of one server that were refused in a row. */
class Refusals {
  reason: string | undefined;
  #count = 0;
  #next = -Infinity;

  isDue(now: number): boolean {
    return now >= this.#next;
  }

  add(reason: string, now: number): void {
    this.reason = reason;
    this.#next = now + backoffMs(++this.#count, LOGIN_PAUSE_MAX_MS);
  }

  end(): void {
    this.reason = undefined;
    this.#count = 0;
    this.#next = -Infinity;
  }
}

class RedisSession implements ServerSession {
  onEnd: (reason: string) => void = () => {};
  readonly #conversation: Conversation<RedisReply>;
  readonly #settings: DatabaseSettings;
  readonly #refusals: Refusals;
  #isNamed = false;
  #isLoggedIn = false;

  constructor(
    conversation: Conversation<RedisReply>,
    settings: DatabaseSettings,
    refusals: Refusals,
  ) {
    this.#conversation = conversation;
    this.#settings = settings;
    this.#refusals = refusals;
    conversation.onEnd = (fault) => this.onEnd(fault.message);
  }

  get isOver(): boolean {
    return this.#conversation.isOver;
  }

  async ask(): Promise<ServerReport> {
    await this.#logIn();
    const replies = await this.#send(["PING"], ["ROLE"], ["INFO", "replication"]);
    const [ping, role, info] = replies as [RedisReply, RedisReply, RedisReply];
    if (!this.#isNamed && !(ping instanceof RedisError && ping.code === "NOAUTH")) {
      await this.#send(["CLIENT", "SETNAME", "failover"]);
      this.#isNamed = true;
    }
    const report = redisReport({ ping, role, info });
    const { reason } = this.#refusals;
    if (report.role !== "unknown" || report.phase !== "running" || reason === undefined) {
      return report;
    }
    return { ...report, reason };
  }

  async promote(): Promise<void> {
    const [reply] = await this.#send(["REPLICAOF", "NO", "ONE"]);
    if (reply instanceof RedisError) throw new PromotionRefused(reply.text);
  }

  abort(fault: Fault): void {
    this.#conversation.abort(fault);
  }

  close(): Promise<void> {
    return this.#conversation.close();
  }

  /** Logs in, if there is a password and it was not refused just now. */
  async #logIn(): Promise<void> {
    const { clock, user } = this.#settings;
    if (this.#isLoggedIn || !this.#refusals.isDue(clock.now())) return;
    try {
      const password = await passwordOf(this.#settings);
      if (password === undefined) return;
      const words = user === undefined ? ["AUTH", password] : ["AUTH", user, password];
      const [reply] = await this.#send(words);
      // A server without passwords knows no AUTH; it lets everybody in.
      const isOpen = reply instanceof RedisError &&
        /without any password configured/.test(reply.text);
      if (reply instanceof RedisError && !isOpen) throw new LoginRefused(reply.text);
      this.#isLoggedIn = true;
      this.#refusals.end();
    } catch (error) {
      if (!(error instanceof LoginRefused)) throw error;
      this.#refusals.add(error.message, clock.now());
    }
  }

  /** Sends commands together and resolves with as many replies. */
  async #send(...commands: readonly string[][]): Promise<RedisReply[]> {
    this.#refuseIfSaid(this.#conversation.unread()[0]);
    this.#conversation.begin();
    for (const words of commands) this.#conversation.link.send(command(...words));
    const replies: RedisReply[] = [];
    while (replies.length < commands.length) {
      const reply = await this.#conversation.next();
      this.#refuseIfSaid(reply);
      replies.push(reply);
    }
    return replies;
  }

  /** Throws if the server has said, without being asked, why it ends the connection: protected mode, too many clients. */
  #refuseIfSaid(reply: RedisReply | undefined): void {
    if (!(reply instanceof RedisError) || !/^(DENIED|ERR max number of clients)/.test(reply.text)) {
      return;
    }
    this.#conversation.abort(new Fault("responseCut", reply.text));
    throw new LoginRefused(reply.text);
  }
}

async function passwordOf({ readPassword, env }: DatabaseSettings): Promise<string | undefined> {
  if (readPassword !== undefined) return await passwordFrom(readPassword);
  // The variable of redis-cli.
  return env.REDISCLI_AUTH || undefined;
}
