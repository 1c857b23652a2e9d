/**
 * A test of retries by logs: upstreams log the id of every request that they receive, many clients record
 * the outcome of each of their requests, and afterwards the two are compared.
 */
import { assert, assertEquals } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { scenario } from "../harness/scenario.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import type { WebConnection } from "../harness/web_client.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import type { FaultName } from "../../src/base/fault.ts";
import { FAULTS } from "../../src/base/fault.ts";

const CLIENTS = 200;

/** The outcome of one request. */
interface Outcome {
  readonly method: string;
  readonly id: string;
  /** Missing if the connection ended before the response did. */
  readonly status?: number;
  /** The answering upstream, or the proxy itself. */
  readonly by?: string;
  /** The reason why another upstream than the first answered, or none. */
  readonly reason?: string;
}

/** Clients that send one request after another, each on a kept connection. */
class Crowd implements AsyncDisposable {
  readonly outcomes: Outcome[] = [];
  readonly #proxy: WebProxy;
  readonly #clients: Promise<void>[];
  #stop = false;
  #round = { count: 0, full: Promise.withResolvers<void>() };
  readonly #cut = Promise.withResolvers<void>();

  constructor(proxy: WebProxy, size: number) {
    this.#proxy = proxy;
    this.#clients = Array.from({ length: size }, (_, number) => this.#live(number));
  }

  /** Resolves when the clients have received `count` more answers. */
  async answers(count: number): Promise<void> {
    this.#round = { count, full: Promise.withResolvers() };
    await withTestDeadline(`${count} answers`, this.#round.full.promise, this.#proxy.lastLines);
  }

  /** Resolves when a response has been cut. */
  async cut(): Promise<void> {
    await withTestDeadline("a response to be cut", this.#cut.promise, this.#proxy.lastLines);
  }

  async end(): Promise<readonly Outcome[]> {
    this.#stop = true;
    await withTestDeadline("the clients to end", Promise.all(this.#clients), this.#proxy.lastLines);
    return this.outcomes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  async #live(number: number): Promise<void> {
    let connection: WebConnection | undefined;
    for (let turn = 0; !this.#stop; turn++) {
      connection ??= await this.#proxy.open();
      const method = turn % 2 === 0 ? "GET" : "POST";
      const outcome = await this.#ask(connection, method, `${number}-${turn}`);
      this.outcomes.push(outcome);
      if (--this.#round.count === 0) this.#round.full.resolve();
      if (outcome.status === undefined) {
        this.#cut.resolve();
        connection.close();
        connection = undefined;
      }
    }
    connection?.close();
  }

  async #ask(connection: WebConnection, method: string, id: string): Promise<Outcome> {
    const body = method === "POST" ? `body of ${id}` : "";
    try {
      await connection.send({ method, target: "/echo", lines: [`X-Request-Id: ${id}`], body });
      const { status, headers } = await connection.reply();
      const reported = headers.get("failover") ?? "";
      const [, by = "?"] = /^upstream=(\w+)/.exec(reported) ?? [];
      const reason = /reason=([\w-]+)/.exec(reported)?.[1];
      return { method, id, status, by, ...(reason === undefined ? {} : { reason }) };
    } catch {
      // Whether it was right to cut it is decided below by the log.
      return { method, id };
    }
  }
}

/** Whether a reason in the `Failover` header proves that nothing was sent. */
function provesNothingSent(reason: string): boolean {
  const name = reason.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  return FAULTS[name as FaultName].nothingSent;
}

scenario(
  `${CLIENTS} clients: no unsafe request arrives twice and no unsent one is lost, whatever the primary does`,
  async (relay) => {
    await using folder = await Folder.make();
    const books = [await folder.write("primary", ""), await folder.write("backup", "")] as const;
    await using primary = await WebUpstream.start("primary", books[0]);
    await using backup = await WebUpstream.start("backup", books[1]);
    const times = { "hold": "1m", "grace": "200ms", "response-timeout": "5s" };
    // Long enough for the checks on a busy machine, shorter than a slow answer.
    const flags = { "log-level": "info", "check-timeout": "2s", ...times, ...relay };
    await using proxy = await startWebProxy({ primary, backups: [backup], flags });
    await using crowd = new Crowd(proxy, CLIENTS);
    await crowd.answers(CLIENTS);

    /** Causes a fault, waits until traffic leaves the primary, ends the fault, and waits until traffic returns. */
    const suffers = async (harm: () => void | Promise<void>, undo: () => void | Promise<void>) => {
      const last = { index: proxy.log.length - 1 };
      await harm();
      const moved = await proxy.event("promotion.finished", { move: "failover" }, last);
      await crowd.answers(2 * CLIENTS);
      await undo();
      await proxy.event("promotion.finished", { move: "failback" }, moved);
      await crowd.answers(2 * CLIENTS);
    };
    const well = () => primary.behave("well");
    // After the kill it refuses connections until it is started again.
    await suffers(() => primary.kill(), () => primary.restart());
    await suffers(() => primary.freeze(), () => primary.thaw());
    // The head of each answer is good, so checks pass, and traffic stays where it is.
    await primary.behave("resetting");
    await crowd.cut();
    await crowd.answers(2 * CLIENTS);
    await well();
    await crowd.answers(2 * CLIENTS);
    await suffers(() => primary.behave("failing"), well);
    await suffers(() => primary.behave("slow"), well);
    await suffers(() => primary.kill(), () => primary.restart());

    const outcomes = await crowd.end();
    const received = new Map<string, number>();
    for (const book of books) {
      for (const line of (await Deno.readTextFile(book)).split("\n")) {
        received.set(line, (received.get(line) ?? 0) + 1);
      }
    }
    const arrivals = ({ method, id }: Outcome) => received.get(`${method} ${id}`) ?? 0;
    const print = (list: readonly Outcome[]) =>
      list.slice(0, 20).map((each) => JSON.stringify(each));

    const unsafe = outcomes.filter(({ method }) => method === "POST");
    assertEquals(
      print(unsafe.filter((each) => arrivals(each) > 1)),
      [],
      "unsafe and delivered twice",
    );
    const answered = outcomes.filter(({ by }) => by === "primary" || by === "backup");
    assertEquals(print(answered.filter((each) => arrivals(each) === 0)), [], "answered by nobody");
    assertEquals(
      print(outcomes.filter(({ by, reason }) => by === "none" && provesNothingSent(reason!))),
      [],
      "unsent and lost",
    );
    const cut = outcomes.filter(({ status }) => status === undefined);
    assertEquals(
      print(cut.filter((each) => arrivals(each) === 0)),
      [],
      "cut before an upstream had it",
    );
    const safeLost = outcomes.filter(({ method, by }) => method === "GET" && by === "none");
    assertEquals(print(safeLost), [], "safe and refused");
    assert(
      unsafe.some(({ by }) => by === "none"),
      "no unsafe request was running at any of the faults",
    );
  },
);
