/*
 * The packages of npm: `make deps` installs them in build/node; NODE_PATH or a
 * node_modules above this directory do as well.
 */

'use strict';

const { createRequire } = require('node:module');
const path = require('node:path');

const from_build = createRequire(
    path.resolve(__dirname, '../../build/node/package.json'));


function load(name) {
    try {
        return from_build(name);

    } catch (error) {
        if (error.code !== 'MODULE_NOT_FOUND') {
            throw error;
        }

        console.error(`no package ${name}: make deps installs it`);
        process.exit(3);
    }
}


module.exports = load;
