import { usage } from './call';
import { bashCompletion } from './completion-bash';
import { zshCompletion } from './completion-zsh';
import type { Subcommand } from './subcommand';

const SHELLS: Readonly<Record<string, (subcommands: readonly Subcommand[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
};

/** completion: what a shell needs to complete calls. `subcommands` gives all of them, this one among them. */
export function completion(subcommands: () => readonly Subcommand[]): Subcommand {
  const names = Object.keys(SHELLS);
  return {
    name: 'completion',
    summary: 'Prints the script by which bash or zsh completes calls of backupctl.',
    positionals: [{ name: 'SHELL', describe: names.join(' or '), completes: names }],
    options: [],
    examples: [
      { line: 'completion bash > /etc/bash_completion.d/backupctl', meaning: 'for all users of bash' },
      { line: 'completion zsh > /usr/local/share/zsh/site-functions/_backupctl', meaning: 'for all users of zsh' },
    ],
    async run({ line, screen }) {
      const shell = line.word('SHELL');
      const make = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
      if (make === undefined) throw usage('completion', `SHELL is ${JSON.stringify(shell)}, not ${names.join(' or ')}`);
      screen.text(make(subcommands()));
      return 0;
    },
  };
}
