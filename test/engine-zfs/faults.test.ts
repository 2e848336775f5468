import { testsOf } from './tests-of';

testsOf('faults', ['cancel', 'kill-backup', 'kill-rm', 'kill-flatten'], []);
