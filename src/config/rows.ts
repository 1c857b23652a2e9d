/** The type of a row in the table of options, and the functions that make rows. The table is in `options.ts`. */
import type { OptionKind } from "./kinds.ts";

/** What a service forwards: connections (`tcp`) or requests (`http`). */
export type Mode = "tcp" | "http";

/** The properties of a row besides its kind and help text. */
interface RowFacts {
  readonly group: string;
  /**
   * `command`: concerns this start only, not allowed in files. `process`: shared by all services.
   * `service`: one value for each service.
   */
  readonly scope: "command" | "process" | "service";
  readonly mode: Mode | "both";
  /** Default, as text that `kind` reads. Without one the value may be undefined. */
  readonly default?: string | Readonly<Record<Mode, string>>;
  /** The one-letter flag. */
  readonly short?: string;
  /** A general environment variable, perhaps meant for another program: the `FAILOVER_` name has precedence. */
  readonly env?: string;
  /** Required in its mode. */
  readonly required?: true;
  /** Must differ between services, so it cannot be set for all of them at once. */
  readonly own?: true;
  /** A secret: the value is never printed. */
  readonly secret?: true;
  /**
   * Why a reload cannot change it while what it concerns runs, for a person. Without a reason a reload puts a
   * change into force in place.
   */
  readonly fixed?: string;
  /** This row is another spelling of another option: its value is stored under that key. */
  readonly writes?: { readonly tcp: "bind"; readonly http: "listen" };
}

/** One row of the table of options. */
export type Option = RowFacts & {
  // deno-lint-ignore no-explicit-any -- rows of all types share one table
  readonly kind: OptionKind<any>;
  readonly help: string;
};

type Shared = Pick<RowFacts, "group" | "scope" | "mode">;

/**
 * Returns a function that makes rows with common properties. The row's type keeps each property
 * literally.
 */
export function rows<const S extends Shared>(shared: S) {
  return <T, const Extra extends Partial<RowFacts> = Record<never, never>>(
    kind: OptionKind<T>,
    help: string,
    extra?: Extra,
  ): Omit<S, keyof Extra> & Extra & { readonly kind: OptionKind<T>; readonly help: string } => {
    // TypeScript types a spread of generics as an intersection, although later properties replace earlier
    // ones.
    // deno-lint-ignore no-explicit-any
    return { ...shared, ...extra, kind, help } as any;
  };
}

/** The default as text, or undefined. */
export function defaultOf(option: Option, mode: Mode): string | undefined {
  return typeof option.default === "object" ? option.default[mode] : option.default;
}

/** Whether an option applies in a mode. */
export function isFor(option: Option, mode: Mode): boolean {
  return option.mode === "both" || option.mode === mode;
}

/** `checkInterval` → `--check-interval`. */
export function flagOf(key: string): string {
  return `--${words(key).join("-")}`;
}

/** `checkInterval` → `check_interval`. */
export function yamlKeyOf(key: string): string {
  return words(key).join("_");
}

/** `checkInterval` → `check`, `interval`. */
export function words(key: string): string[] {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).split("-");
}
