/** What an answer of etcd's JSON gateway says: the header that each one has, and errors. Pure. */
import { EtcdError } from "./etcd.ts";
import { numberIn, objectIn, textIn } from "./gateway_json.ts";

/** A JSON object. */
export type AnswerFields = Readonly<Record<string, unknown>>;

/** An error of etcd, or of something between it and us. */
export interface EtcdFailure {
  /** A gRPC status code (grpc.github.io, "Status codes and their use in gRPC"); 0 if it has none. */
  readonly code: number;
  readonly message: string;
}

const NOT_FOUND = 5;
const UNAUTHENTICATED = 16;
/**
 * The codes of an endpoint that has no leader, is starting, or was too slow. 0: the answer is not from etcd, but from
 * something between it and us, such as a load balancer.
 */
const NOT_NOW = new Set([0, 1, 4, 8, 13, 14]);
/** The texts of etcd for a token that has expired. Its code does not show that: other errors have the same one. */
const TOKEN_IS_OVER = /invalid auth token|auth.*revision|user name is empty/;

/**
 * The error in an answer with this HTTP status. etcd 3.4 and 3.5 say `error` at the top, later versions `code` and
 * `message` alone; both say it in an object `error` where a stream has it, and name the code differently there.
 */
export function failureOf(answer: AnswerFields, status: number): EtcdFailure | undefined {
  const { error } = answer;
  if (error === undefined && status === 200 && !("code" in answer)) return undefined;
  const fields = typeof error === "object" && error !== null ? objectIn(error) : answer;
  const code = numberIn(fields, "grpc_code" in fields ? "grpc_code" : "code");
  const message = textIn(fields, "message") || String(error ?? `HTTP status ${status}`);
  return { code, message: message.slice(0, 300) };
}

/** The header of an answer. Throws if there is none: no key and no lease would seem to mean that none exists. */
export function headerOf(answer: AnswerFields): AnswerFields {
  const header = objectIn(answer.header ?? {});
  if (textIn(header, "cluster_id") !== "") return header;
  throw new EtcdError("unreachable", "the answer is not one of etcd: it has no header");
}

/** Whether the same call may succeed at another endpoint, or later at the same one. */
export function mayPass({ code }: EtcdFailure): boolean {
  return NOT_NOW.has(code);
}

/** Whether etcd does not accept the token any more, so that a new log-in is needed. */
export function isTokenOver({ code, message }: EtcdFailure): boolean {
  return code === UNAUTHENTICATED || TOKEN_IS_OVER.test(message);
}

/** The error of a call that fails in the same way at every endpoint. */
export function refusal({ code, message }: EtcdFailure): EtcdError {
  const isGone = code === NOT_FOUND && /lease/.test(message);
  return new EtcdError(isGone ? "leaseGone" : "refused", message);
}

/** Any error of a call as an `EtcdError`. One of another class means that etcd could not be reached. */
export function asEtcdError(error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  const { cause } = error as { cause?: unknown };
  const source = cause instanceof Error ? cause : error;
  const message = source instanceof Error ? source.message : String(source);
  return new EtcdError("unreachable", message.replace(/\s+/g, " ").slice(0, 300));
}
