/** `failover history` and the lines of `failover watch`: what happened, for people or as JSON. */
import { oneLine } from "../base/one_line.ts";
import { incidentLines, incidentText } from "../incidents/text.ts";
import type { Arguments } from "./arguments.ts";
import type { CommandIo } from "./commands.ts";
import type { Records } from "./records.ts";

/** An event as `/__failover/events` has it. */
export interface PastEvent {
  readonly time: string;
  readonly service: string;
  readonly message: string;
}

/** One line for each event. */
export function eventsText(events: readonly PastEvent[]): string {
  return events.map(eventLine).join("\n");
}

/** One line for one event, without a line end: time, service and message. */
export function eventLine({ time, service, message }: PastEvent): string {
  return `${time}  ${service === "" ? "" : `[${service}] `}${oneLine(message)}`;
}

/** Lists the incidents and what was changed, or shows one of them. */
export async function historyCommand(
  { operands: { ID }, json }: Arguments,
  records: Records,
  io: CommandIo,
): Promise<number> {
  if (ID === undefined) {
    const all = await records.list();
    io.out(json ? JSON.stringify(all, null, 2) : incidentLines(all));
    return 0;
  }
  const record = await records.find(ID);
  if (typeof record === "string") {
    io.err(`failover: ${record}`);
    return 1;
  }
  io.out(json ? JSON.stringify(record, null, 2) : incidentText(record));
  return 0;
}
