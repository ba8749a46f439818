"""The virtual secure element: a GlobalPlatform card on jCardSim through JPype."""
