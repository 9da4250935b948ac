'use strict';
// The program that wick-nodejs gives to Node.js: these files, one after the other, in one scope (meson.build has the
// order). User code runs in the same process, so nothing here may be needed after user code broke it, and what
// happens once per invocation is kept short.

const { AsyncLocalStorage } = require('async_hooks');
const fs = require('fs');
const http = require('http');
const Module = require('module');
const net = require('net');
const path = require('path');
const { Writable } = require('stream');
const url = require('url');
const util = require('util');
const v8 = require('v8');
