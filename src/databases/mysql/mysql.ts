/** The probe of a MySQL or MariaDB server. */
import { backoffMs } from "../../base/backoff.ts";
import { Fault } from "../../base/fault.ts";
import type { ServerReport } from "../../failover/server_report.ts";
import { endingOnAbort } from "../cancel.ts";
import { Conversation } from "../conversation.ts";
import { passwordFrom } from "../files.ts";
import type { Protocol, ServerSession } from "../kept_probe.ts";
import { Link } from "../link.ts";
import { LoginRefused } from "../server.ts";
import type { DatabaseSettings } from "../settings.ts";
import { tlsFrom } from "../tls_mode.ts";
import { logInToMysql, type MysqlAccount } from "./login.ts";
import { MysqlFramer, type Packet, packet, QUIT } from "./packets.ts";
import {
  askMysql,
  MysqlQuestionFailed,
  mysqlReport,
  readOnlyQuestion,
  replicationQuestion,
  type Row,
} from "./question.ts";

/** The user whose log-in is tried, and as a rule refused, if none is configured. */
const NOBODY = "failover";
/** How long the question about replication may take: while replication is being stopped it may hang for long. */
const REPLICATION_MS = 500;
/**
 * The longest time for which it is not asked again after that, in milliseconds. The first pause is a second, since a
 * busy machine may be late once, and each one is twice as long as the one before.
 */
const REPLICATION_PAUSE_MAX_MS = 30_000;

/** Until when the question about replication is not asked, and how often in a row it had no answer in time. */
interface ReplicationPause {
  until: number;
  late: number;
}

/** How to talk to the MySQL or MariaDB server at `address`. */
export function mysqlProtocol(settings: DatabaseSettings): Protocol {
  const { address } = settings;
  const pause: ReplicationPause = { until: -Infinity, late: 0 };

  async function open(account: MysqlAccount, signal: AbortSignal): Promise<ServerSession> {
    // The signal has the deadline.
    const limits = { clock: settings.clock, timeoutMs: Infinity, signal };
    const link = await Link.open(address, limits);
    return await endingOnAbort(link, signal, async () => {
      const conversation = new Conversation(link, new MysqlFramer());
      const version = await logInToMysql(conversation, account);
      return new MysqlSession(conversation, version, settings, pause);
    });
  }

  async function account(): Promise<MysqlAccount> {
    const { user = NOBODY, readPassword, env } = settings;
    const password = readPassword === undefined
      // The variable of its own clients.
      ? env.MYSQL_PWD ?? ""
      : await passwordFrom(readPassword);
    const tls = address.kind === "unix" ? undefined : await tlsFrom(settings, "prefer");
    return { user, password, tls };
  }

  return {
    // A connection that ends without a log-in counts against this host (max_connect_errors), and a log-in that is
    // refused does not: so there always is one, if need be of a user that does not exist.
    hasAccount: () => true,
    canPromote: false,
    withoutAccount: "",
    logIn: async (signal) => await open(await account(), signal),
    async knock(signal) {
      try {
        const nobody = { user: NOBODY, password: "", tls: undefined };
        await (await open(nobody, signal)).close();
      } catch (error) {
        if (!(error instanceof LoginRefused)) throw error;
      }
      return { role: "unknown", phase: "running" };
    },
  };
}

class MysqlSession implements ServerSession {
  onEnd: (reason: string) => void = () => {};
  readonly #conversation: Conversation<Packet>;
  readonly #version: string;
  readonly #settings: DatabaseSettings;
  /** Shared by all sessions of a server. */
  readonly #pause: ReplicationPause;

  constructor(
    conversation: Conversation<Packet>,
    version: string,
    settings: DatabaseSettings,
    pause: ReplicationPause,
  ) {
    this.#conversation = conversation;
    this.#version = version;
    this.#settings = settings;
    this.#pause = pause;
    conversation.onEnd = (fault) => this.onEnd(fault.message);
  }

  get isOver(): boolean {
    return this.#conversation.isOver;
  }

  async ask(): Promise<ServerReport> {
    try {
      const [variables] = await askMysql(this.#conversation, readOnlyQuestion(this.#version));
      if (variables === undefined) throw new Fault("badResponse", "an answer without a row");
      return mysqlReport(variables, await this.#sources());
    } catch (error) {
      if (!(error instanceof MysqlQuestionFailed)) throw error;
      return { role: "unknown", phase: "running", reason: error.message };
    }
  }

  /** What it replicates from; undefined if the account may not know, or if there is no answer soon. */
  async #sources(): Promise<readonly Row[] | undefined> {
    const { clock } = this.#settings;
    if (clock.now() < this.#pause.until) return undefined;
    let isLate = false;
    const cancelTimer = clock.after(REPLICATION_MS, () => {
      isLate = true;
      this.#conversation.abort(new Fault("responseTimeout"));
    });
    try {
      const rows = await askMysql(this.#conversation, replicationQuestion(this.#version));
      this.#pause.late = 0;
      return rows;
    } catch (error) {
      if (error instanceof MysqlQuestionFailed) return undefined;
      if (!isLate) throw error;
      this.#pause.until = clock.now() + backoffMs(++this.#pause.late, REPLICATION_PAUSE_MAX_MS);
      return undefined;
    } finally {
      cancelTimer();
    }
  }

  abort(fault: Fault): void {
    this.#conversation.abort(fault);
  }

  close(): Promise<void> {
    this.#conversation.link.send(packet(0, QUIT));
    return this.#conversation.close();
  }
}
