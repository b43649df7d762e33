"""The widgets of the lectures, a file for each lecture; `live_` ones train or draw while one watches."""
