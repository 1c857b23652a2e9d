/** A service in threads that only record what they are sent. */
import { ManualClock } from "../../base/clock.ts";
import type { ShardReport } from "../messages.ts";
import { type ServiceSpec, ShardedService } from "../sharded_service.ts";
import type { ThreadGroup } from "../thread_group.ts";
import type { EnvelopeContent, ThreadHandle } from "../thread_handle.ts";

/** An envelope in one word: what is ordered, or `spec`. */
export function wordOf(content: EnvelopeContent): string {
  return "order" in content ? content.order.do : "spec" in content ? "spec" : "other";
}

/** A service in `threads` threads; `sent` has the number of each thread and the word of each envelope. */
export function serviceFixture(threads: number, spec: Partial<ServiceSpec> = {}) {
  const clock = new ManualClock();
  const sent: string[] = [];
  const reports: ShardReport[] = [];
  let over = 0;
  const send = (number: number, content: EnvelopeContent): Promise<void> => {
    sent.push(`${number} ${wordOf(content)}`);
    return Promise.resolve();
  };
  const living = Array.from({ length: threads }, (_, number) => number);
  const group = {
    clock,
    threads,
    living,
    sendAll: (content: EnvelopeContent) => living.map((number) => send(number, content)),
    sendOne: send,
  };
  const service = new ShardedService(
    1,
    {
      kind: "test",
      settings: {},
      limits: [10],
      onReport: (report) => void reports.push(report),
      accountForDeath: () => 3,
      ...spec,
    },
    group as unknown as ThreadGroup,
    () => over++,
  );
  const handle = (number: number) =>
    ({ send: (content: EnvelopeContent) => send(number, content) }) as unknown as ThreadHandle;
  return { service, clock, sent, reports, handle, over: () => over };
}
