/**
 * Members that come and go by the ten thousand a second, such as exchanges under way.
 *
 * Not a Set or Map: V8 moves one of those to a new table whenever enough has come and gone; the old table
 * leads to the new one, and once one of them has grown old in the heap, all that stood in any later one
 * outlives its time with it. Exchanges in a Map cost twice the processor time for that.
 */

/** Something that is in at most one slab. */
export interface Member {
  /** The slab's own while it is in one. */
  place: number;
}

export class Slab<M extends Member> {
  readonly #members: M[] = [];

  get size(): number {
    return this.#members.length;
  }

  add(member: M): void {
    member.place = this.#members.push(member) - 1;
  }

  /** False if it was not in. */
  delete(member: M): boolean {
    const members = this.#members;
    if (members[member.place] !== member) return false;
    const last = members.pop()!;
    if (last !== member) {
      members[member.place] = last;
      last.place = member.place;
    }
    return true;
  }

  /** Those who are in now, in no order. */
  all(): M[] {
    return this.#members.slice();
  }
}
