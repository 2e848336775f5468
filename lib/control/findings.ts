import type { Position } from '../opennebula/position';
import type { TemplateAttribute, TemplateMember } from '../opennebula/template-file';

/** Something about a template that its author should know. */
export interface Finding {
  readonly at: Position;
  readonly severity: 'error' | 'warning';
  /** The attribute that it is about, if it is about one. */
  readonly attribute?: string;
  readonly what: string;
  /** What to do: an imperative sentence without its full stop. */
  readonly hint: string;
}

/** Collects the findings about one template. */
export class Findings {
  readonly #found: Finding[] = [];

  error(at: Position, attribute: string, what: string, hint: string): void {
    this.#found.push({ at, severity: 'error', attribute, what, hint });
  }

  warning(at: Position, attribute: string, what: string, hint: string): void {
    this.#found.push({ at, severity: 'warning', attribute, what, hint });
  }

  /** In the order of the file. */
  get all(): readonly Finding[] {
    return this.#found.sort((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
  }
}

/** Where the value of an attribute stands; of a vector, the attribute itself. */
export function placeOf({ at, value }: TemplateAttribute): Position {
  return isVector(value) ? at : value.at;
}

export function isVector(value: TemplateAttribute['value']): value is readonly TemplateMember[] {
  return 'length' in value;
}
