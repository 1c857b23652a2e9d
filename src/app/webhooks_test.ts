import { assertEquals } from "@std/assert";
import { ManualClock, realClock } from "../base/clock.ts";
import type { EventOf } from "../events/events.ts";
import { EventStream } from "../events/stream.ts";
import { Notices } from "../report/notices.ts";
import { Webhooks } from "./webhooks.ts";

/** A receiver of notices that says which path they came to. */
class Receiver implements AsyncDisposable {
  readonly paths: string[] = [];
  readonly #server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    this.paths.push(new URL(request.url).pathname);
    return new Response();
  });

  url(path: string): URL {
    return new URL(path, `http://127.0.0.1:${(this.#server.addr as Deno.NetAddr).port}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

const FAILED_OVER: EventOf<"promotion.finished"> = {
  ...{ type: "promotion.finished", move: "failover", id: "i-1", epoch: 1, from: "a", to: "b" },
  ...{ reason: "a is down", tookMs: 1 },
};

Deno.test("a webhook that is replaced sends its last notices, and the next one gets the next events", async () => {
  await using receiver = new Receiver();
  const events = new EventStream(realClock, { keep: 10 });
  const optionsOf = (
    path: string,
  ) => ({ webhookUrl: receiver.url(path), webhookFormat: "json" } as const);
  {
    await using webhooks = new Webhooks(optionsOf("/one"), {
      // Its time stands still, so what waits has all the time that it needs.
      ...{ clock: new ManualClock(), events },
      newNotices: () => new Notices({ db: "a" }, () => ({})),
    });
    events.publish("db", FAILED_OVER);
    const change = webhooks.prepare(optionsOf("/two"));
    change.apply();
    change.finish();
    events.publish("db", { ...FAILED_OVER, epoch: 2, from: "b", to: "c" });
    const undone = webhooks.prepare({ webhookUrl: undefined, webhookFormat: "auto" });
    undone.apply();
    undone.undo();
    events.publish("db", { ...FAILED_OVER, epoch: 3, from: "c", to: "b" });
    webhooks.prepare(optionsOf("/two")).apply();
  }
  assertEquals(receiver.paths.toSorted(), ["/one", "/two", "/two"]);
});

Deno.test("without a URL nothing is sent, and nothing is lost", async () => {
  const events = new EventStream(realClock, { keep: 10 });
  const none = { webhookUrl: undefined, webhookFormat: "auto" } as const;
  await using webhooks = new Webhooks(none, {
    ...{ clock: realClock, events },
    newNotices: () => {
      throw new Error("nobody is to be notified");
    },
  });
  events.publish("db", FAILED_OVER);
  assertEquals([webhooks.lost, webhooks.notices], [0, undefined]);
});
