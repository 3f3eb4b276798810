namespace mqttstack {}
