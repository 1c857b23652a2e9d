/**
 * The values in answers of etcd. Each function throws if the answer does not have the form of etcd's, so that another
 * endpoint is asked. Pure.
 */
import { type AnswerFields, headerOf } from "./answer.ts";
import { EtcdError, type KeyEntry, type Reading } from "./etcd.ts";
import { decode64, numberIn, objectIn, textIn } from "./gateway_json.ts";

/** All keys of an answer to a range, without `prefix`. */
export function readingOf(answer: AnswerFields, prefix: string): Reading {
  const entries = new Map<string, KeyEntry>();
  const kvs = answer.kvs ?? [];
  if (!Array.isArray(kvs)) throw wrong("kvs");
  for (const kv of kvs.map(objectIn)) {
    const lease = textIn(kv, "lease");
    entries.set(decode64(textIn(kv, "key")).slice(prefix.length), {
      value: decode64(textIn(kv, "value")),
      modRevision: numberIn(kv, "mod_revision"),
      createRevision: numberIn(kv, "create_revision"),
      lease: lease === "" || lease === "0" ? undefined : lease,
    });
  }
  return { revision: revisionOf(answer), entries };
}

/** The revision of the whole store at an answer. */
export function revisionOf(answer: AnswerFields): number {
  return numberIn(headerOf(answer), "revision");
}

/** A new lease. */
export function grantOf(answer: AnswerFields): { readonly id: string; readonly ttlS: number } {
  const [id, ttlS] = [textIn(answer, "ID"), secondsIn(answer)];
  if (id === "" || id === "0" || ttlS === 0) throw wrong("ID or TTL");
  return { id, ttlS };
}

/** How long a lease lasts, in seconds; 0 if it has ended. */
export function secondsIn(answer: AnswerFields): number {
  const seconds = numberIn(answer, "TTL");
  if (seconds < 0) throw wrong("TTL");
  return seconds;
}

function wrong(field: string): EtcdError {
  return new EtcdError("unreachable", `the answer is not one of etcd: ${field}`);
}
