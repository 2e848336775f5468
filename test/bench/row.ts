import { compare, type Pair } from './measure';

/** What one row of the table says. */
export interface Figure {
  /** In the unit of the bound. */
  readonly value: number;
  readonly shown: string;
}

/** A row of the table of figures. */
export interface Row<World> {
  readonly name: string;
  readonly what: string;
  readonly over: string;
  readonly bound: number;
  readonly measure: (world: World, rounds: number) => Promise<Figure>;
}

/** A row that compares two times; quick ones are worth more rounds. */
export function row<World>(
  name: string,
  what: string,
  over: string,
  bound: number,
  times: number,
  pair: (world: World) => Pair | Promise<Pair>,
): Row<World> {
  const measure = async (world: World, rounds: number): Promise<Figure> => {
    const { ours, bare } = await compare(await pair(world), rounds * times);
    return { value: ours / bare, shown: `${(ours / bare).toFixed(2)} (${Math.round(ours)} / ${Math.round(bare)} ms)` };
  };
  return { name, what, over, bound, measure };
}
