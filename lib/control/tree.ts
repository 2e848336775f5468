import { shortened } from './table';

/** A line of a tree, and those below it. */
export interface TreeNode {
  readonly text: string;
  readonly children?: readonly TreeNode[];
}

/** The lines of a tree in ASCII; colours may be in the texts only where these fit the width. */
export function formatTree(nodes: readonly TreeNode[], width: number): string[] {
  return nodes.flatMap(({ text, children = [] }) => [fitted(text, width), ...below(children, '', width)]);
}

function below(nodes: readonly TreeNode[], indent: string, width: number): string[] {
  return nodes.flatMap(({ text, children = [] }, index) => {
    const isLast = index === nodes.length - 1;
    return [
      `${indent}${isLast ? '`-- ' : '|-- '}${fitted(text, width - indent.length - 4)}`,
      ...below(children, `${indent}${isLast ? '    ' : '|   '}`, width),
    ];
  });
}

/** Colours take no place on the screen; a line that is too long loses them with its end. */
function fitted(text: string, width: number): string {
  const bare = text.replace(/\x1b\[[0-9]{1,2}m/g, '');
  return bare.length <= width ? text : shortened(bare, width);
}
