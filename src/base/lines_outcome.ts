/** The result of writing lines. */
export interface LinesOutcome {
  /** How many were lost. */
  readonly lost: number;
  /** Why, for a person; empty if none were. */
  readonly reason: string;
}
