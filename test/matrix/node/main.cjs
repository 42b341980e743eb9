require('./app.cjs')(require('pg-ladder'), require('pg-ladder/testing'), require('pg-ladder/http'));
