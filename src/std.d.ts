// deno-lint-ignore-file no-explicit-any
// Types for the std modules we import. The npm copy of @std carries no declarations, and untyped
// modules would silently become `any`; each module is declared here under its import-map name. Bound
// to `jsr:` instead (see .github/CONTRIBUTING.md), the modules bring their own types and this file goes.
// Only what we use is declared.

declare module "@std/assert" {
  export class AssertionError extends Error {}
  export function assert(expr: unknown, msg?: string): asserts expr;
  export function assertEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertStrictEquals<T>(
    actual: unknown,
    expected: T,
    msg?: string,
  ): asserts actual is T;
  export function assertMatch(actual: string, expected: RegExp, msg?: string): void;
  export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void;
  export function assertStringIncludes(actual: string, expected: string, msg?: string): void;
  export function assertGreater<T>(actual: T, expected: T, msg?: string): void;
  export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void;
  export function assertLess<T>(actual: T, expected: T, msg?: string): void;
  export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void;
  export function assertObjectMatch(
    actual: Record<PropertyKey, any>,
    expected: Record<PropertyKey, unknown>,
    msg?: string,
  ): void;
  export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T>;
  export function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
    actual: unknown,
    expectedType: T,
    msg?: string,
  ): asserts actual is InstanceType<T>;
  export function assertThrows<E extends Error = Error>(
    fn: () => unknown,
    ErrorClass?: new (...args: any[]) => E,
    msgIncludes?: string,
    msg?: string,
  ): E;
  export function assertRejects<E extends Error = Error>(
    fn: () => PromiseLike<unknown>,
    ErrorClass?: new (...args: any[]) => E,
    msgIncludes?: string,
    msg?: string,
  ): Promise<E>;
  export function fail(msg?: string): never;
  export function unreachable(reason?: string): never;
}

declare module "@std/async/deadline" {
  export interface DeadlineOptions {
    signal?: AbortSignal;
  }
  /** Rejects with a `TimeoutError` DOMException when `promise` takes longer than `ms`. */
  export function deadline<T>(
    promise: Promise<T>,
    ms: number,
    options?: DeadlineOptions,
  ): Promise<T>;
}

declare module "@std/cli/parse-args" {
  export interface ParseOptions {
    readonly boolean?: readonly string[];
    readonly string?: readonly string[];
    readonly collect?: readonly string[];
    readonly negatable?: readonly string[];
    readonly alias?: Readonly<Record<string, string | readonly string[]>>;
    readonly default?: Readonly<Record<string, unknown>>;
    readonly "--"?: boolean;
    readonly stopEarly?: boolean;
    readonly unknown?: (arg: string, key?: string, value?: unknown) => unknown;
  }
  export interface Args {
    readonly _: readonly (string | number)[];
    readonly [key: string]: unknown;
  }
  export function parseArgs(args: readonly string[], options?: ParseOptions): Args;
}

declare module "@std/http/etag" {
  /** A weak validator made of size and modification time; undefined where the system keeps no time. */
  export function eTag(entity: Deno.FileInfo): Promise<string | undefined>;
  /** False when `etag` is among the tags of an `If-None-Match` value, so that 304 is the answer. */
  export function ifNoneMatch(value: string | null, etag: string | undefined): boolean;
}

declare module "@std/media-types/content-type" {
  /** `.css` → `text/css; charset=UTF-8`; undefined for an extension that is not known. */
  export function contentType(extensionOrType: string): string | undefined;
}

declare module "@std/http/status" {
  /** The phrase of each registered status. */
  export const STATUS_TEXT: Readonly<Record<number, string>>;
}

declare module "@std/text/closest-string" {
  export function closestString(
    givenWord: string,
    possibleWords: readonly string[],
    options?: { caseSensitive?: boolean; compareFn?: (a: string, b: string) => number },
  ): string;
}

declare module "@std/text/levenshtein-distance" {
  /** How many letters must be added, removed or replaced to get from one to the other. */
  export function levenshteinDistance(str1: string, str2: string): number;
}

declare module "@std/yaml" {
  /** Throws `SyntaxError` whose message names line and column. */
  export function parse(
    content: string,
    options?: {
      schema?: "core" | "default" | "failsafe" | "json" | "extended";
      allowDuplicateKeys?: boolean;
      onWarning?(error: Error): void;
    },
  ): unknown;
  export function stringify(
    data: unknown,
    options?: { lineWidth?: number; indent?: number },
  ): string;
}
