module.exports = require('../../../../node_modules/pg');
