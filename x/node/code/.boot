a6cab94c-eab1-45fc-9908-ed548ffdafbd
