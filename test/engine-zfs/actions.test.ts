import { testsOf } from './tests-of';

testsOf('actions', ['oned-messages'], ['restore', 'standalone', 'by-hand']);
