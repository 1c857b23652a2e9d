/** `failover history` and the lines of `failover watch`: what happened, for people or as JSON. */
import type { IncidentRecord } from "../incidents/record.ts";
import { incidentLines, incidentText } from "../incidents/text.ts";
import type { Arguments } from "./arguments.ts";
import type { CommandIo } from "./commands.ts";
import type { Connection } from "./connection.ts";

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

export function eventLine({ time, service, message }: PastEvent): string {
  return `${time}  ${service === "" ? "" : `[${service}] `}${message}`;
}

/** Lists the incidents, or shows one. */
export async function history(
  { operands: { ID }, json }: Arguments,
  connection: Connection,
  io: CommandIo,
): Promise<number> {
  if (ID === undefined) {
    const { body } = await connection.ask("incidents");
    const records = body.incidents as readonly IncidentRecord[];
    io.out(json ? JSON.stringify(records, null, 2) : incidentLines(records));
    return 0;
  }
  const { status, body } = await connection.ask(`incidents/${encodeURIComponent(ID)}`);
  if (status !== 200) {
    io.err(`failover: ${body.error}`);
    return 1;
  }
  const record = body as unknown as IncidentRecord;
  io.out(json ? JSON.stringify(record, null, 2) : incidentText(record));
  return 0;
}
