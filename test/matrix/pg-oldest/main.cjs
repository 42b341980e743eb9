require('./app.cjs')(require('pg-ladder'));
