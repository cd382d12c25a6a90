"""Dated tables of prices, exchange rates and grid carbon; rightfit.resources.tables reads them."""
