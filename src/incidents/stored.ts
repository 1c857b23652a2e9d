/**
 * The incidents that a state folder holds: JSON lines in `incidents.jsonl`, oldest first. Each time an incident
 * changes, a line is added, and the last one counts; the recorded inputs are on the last line that has some.
 * Lines that are damaged, such as the last one before a power cut, are skipped and counted.
 */
import { realClock, sleep } from "../base/clock.ts";
import { decode } from "./codec.ts";
import type { IncidentRecord } from "./record.ts";
import type { Recorded } from "./recording.ts";

/** Most incidents in the file. */
export const STORED_MAX = 1_000;
/** The longest line that is read, in characters; longer ones count as damaged. */
const LINE_MAX = 8 * 1024 * 1024;
/** After so many lines the reader lets others run. */
const LINES_AT_ONCE = 20;

/** Where the incidents are, in the state folder. */
export function incidentsFile(folder: string): string {
  return `${folder.replace(/\/+$/, "")}/incidents.jsonl`;
}

/** One incident as the file has it. */
export interface StoredIncident {
  readonly record: IncidentRecord;
  /** Its last line. */
  readonly line: string;
  /** The last line with its recorded inputs; undefined if none has some. */
  readonly inputsLine: string | undefined;
}

/** What the file holds. */
export interface Contents {
  /** By id, oldest first; those before the last `STORED_MAX` are left out. */
  readonly incidents: ReadonlyMap<string, StoredIncident>;
  /** How many lines the file has, the damaged ones included. */
  readonly lines: number;
  readonly damaged: number;
  /** True if the last line has no end: the next one must begin with a new line. */
  readonly isTorn: boolean;
}

/** Reads the file; a missing one is empty. Rejects as `Deno.open` and reading do. */
export async function readIncidents(folder: string): Promise<Contents> {
  const incidents = new Map<string, StoredIncident>();
  const counts = { lines: 0, damaged: 0 };
  const take = (line: string) => {
    counts.lines++;
    const record = recordOf(line);
    if (record === undefined) {
      counts.damaged++;
      return;
    }
    const { inputs, ...rest } = record;
    const before = incidents.get(rest.id);
    const inputsLine = inputs === undefined || inputs === null ? before?.inputsLine : line;
    incidents.set(rest.id, { record: rest, line, inputsLine });
    if (incidents.size > STORED_MAX) incidents.delete(incidents.keys().next().value!);
  };
  const isTorn = await eachLine(incidentsFile(folder), take);
  return { incidents, ...counts, isTorn };
}

/** The recorded inputs of an incident; undefined if it has none, or they are damaged. */
export function inputsOf({ inputsLine }: StoredIncident): Recorded | undefined {
  return inputsLine === undefined ? undefined : decode(JSON.parse(inputsLine).inputs);
}

/** The lines that say the same of an incident, as they were written: nothing is parsed for it. */
export function linesOf({ line, inputsLine }: StoredIncident): readonly string[] {
  return inputsLine === undefined || inputsLine === line ? [line] : [inputsLine, line];
}

/** The line for one incident; `inputs` is what `encode` made of its recorded inputs. */
export function lineOf(record: IncidentRecord, inputs?: unknown): string {
  return `${JSON.stringify(inputs === undefined ? record : { ...record, inputs })}\n`;
}

type Line = IncidentRecord & { readonly inputs?: unknown };

/** What a line says; undefined if it is damaged. */
function recordOf(line: string): Line | undefined {
  try {
    const value = JSON.parse(line) as Partial<Line> | null;
    const isRecord = typeof value?.id === "string" && typeof value.service === "string" &&
      typeof value.began === "string" && typeof value.reason === "string" &&
      typeof value.t === "object" && Array.isArray(value.promotions) &&
      Array.isArray(value.evidence) && Array.isArray(value.triggers) &&
      Array.isArray(value.failed_promotions) && typeof value.sessions === "object" &&
      typeof value.clients === "object";
    return isRecord ? value as Line : undefined;
  } catch {
    return undefined;
  }
}

/** Calls `take` for each line that is not empty. Resolves with whether the last one has no end. */
async function eachLine(path: string, take: (line: string) => void): Promise<boolean> {
  try {
    // Opening a named pipe waits for a writer, which may never come.
    if (!(await Deno.stat(path)).isFile) throw new Error(`${path} is no regular file`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  const file = await Deno.open(path);
  let rest = "";
  let isTooLong = false;
  let taken = 0;
  // A decoder that does not fail: damaged bytes make a damaged line.
  for await (const part of file.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line === "" && !isTooLong) continue;
      take(isTooLong ? "" : line);
      isTooLong = false;
      if (++taken % LINES_AT_ONCE === 0) await sleep(realClock, 0);
    }
    if (rest.length > LINE_MAX) [rest, isTooLong] = ["", true];
  }
  if (rest === "" && !isTooLong) return false;
  take(isTooLong ? "" : rest);
  return true;
}
