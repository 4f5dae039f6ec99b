/**
 * What is in the demo's inbox: customers write in their own language.
 *
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} customer
 * @property {string} subject
 * @property {"en" | "es"} lang
 * @property {string | null} agent whom it is assigned to
 * @property {number} minutesAgo when the last message came
 * @property {boolean} unread
 * @property {{from: "customer" | "agent", by?: string, text: string}[]} messages `by`: the agent,
 *   where it is not the one assigned
 */

/** @type {Conversation[]} newest first */
export const CONVERSATIONS = [
  {
    id: "c1",
    customer: "Lucía Fernández",
    subject: "¿Dónde está mi pedido 48213?",
    lang: "es",
    agent: "juan",
    minutesAgo: 3,
    unread: true,
    messages: [
      {
        from: "customer",
        text: "Hola, mi pedido 48213 figura como enviado desde el martes, pero el seguimiento no se mueve.",
      },
      { from: "agent", text: "Hola, Lucía. Lo estoy mirando con el transportista; te digo algo en unos minutos." },
      { from: "customer", text: "Gracias. Lo necesito antes del sábado, es un regalo." },
    ],
  },
  {
    id: "c2",
    customer: "Tom Becker",
    subject: "Invoice shows the wrong VAT number",
    lang: "en",
    agent: "maria",
    minutesAgo: 11,
    unread: true,
    messages: [
      {
        from: "customer",
        text: "The October invoice still carries our old VAT number. Could you issue a corrected one? Our auditors insist.",
      },
      { from: "agent", text: "Of course. Is the new number the one in your account settings, ending in 417?" },
      { from: "customer", text: "Exactly, that one. Thank you!" },
    ],
  },
  {
    id: "c3",
    customer: "Priya Nair",
    subject: "Can’t add a second seat",
    lang: "en",
    agent: null,
    minutesAgo: 14,
    unread: true,
    messages: [
      {
        from: "customer",
        text: "I get “Something went wrong” when I add a colleague to our plan. I tried two browsers.",
      },
    ],
  },
  {
    id: "c4",
    customer: "Grupo Altamar",
    subject: "Renovación del contrato anual",
    lang: "es",
    agent: "ana",
    minutesAgo: 26,
    unread: false,
    messages: [
      {
        from: "customer",
        text: "Nuestro contrato vence a fin de mes. ¿Nos pueden mandar la propuesta de renovación para doce puestos?",
      },
      { from: "agent", text: "Se la envío hoy mismo, con el descuento por tres años aparte." },
    ],
  },
  {
    id: "c5",
    customer: "Hannah Lindqvist",
    subject: "App freezes when I upload photos",
    lang: "en",
    agent: "liam",
    minutesAgo: 41,
    unread: false,
    messages: [
      {
        from: "customer",
        text: "Since the last update the app freezes at about 80 % whenever I upload more than three photos.",
      },
      { from: "agent", text: "Thanks for the details. Which phone is it, and does it also happen on Wi-Fi?" },
      { from: "customer", text: "A Pixel 8, and yes, on Wi-Fi too." },
    ],
  },
  {
    id: "c6",
    customer: "Diego Ramos",
    subject: "Cambio de dirección de entrega",
    lang: "es",
    agent: null,
    minutesAgo: 58,
    unread: true,
    messages: [
      {
        from: "customer",
        text: "Me mudé la semana pasada. ¿Pueden mandar el pedido 48177 a mi nueva dirección? Aún no ha salido.",
      },
    ],
  },
  {
    id: "c7",
    customer: "Northgate Bikes",
    subject: "Discount for 40 units?",
    lang: "en",
    agent: "chloe",
    minutesAgo: 75,
    unread: false,
    messages: [
      {
        from: "customer",
        text: "We are fitting out a second shop and would take 40 units. What can you do on the price?",
      },
      {
        from: "agent",
        text: "Congratulations on the new shop! From 25 units on it is 12 % off; let me see what more I can get you.",
      },
    ],
  },
  {
    id: "c8",
    customer: "Sofia Rossi",
    subject: "Password mail never arrives",
    lang: "en",
    agent: "kenji",
    minutesAgo: 130,
    unread: false,
    messages: [
      { from: "customer", text: "I asked for a new password three times. Nothing in the spam folder either." },
      {
        from: "agent",
        text: "Your mail server has been turning us away since noon. I have sent the link to your second address.",
      },
    ],
  },
  {
    id: "c9",
    customer: "Marcus Hill",
    subject: "Refund for order 47990",
    lang: "en",
    agent: null,
    minutesAgo: 210,
    unread: false,
    messages: [
      { from: "customer", text: "The parcel came back to you on the 12th, but I have not seen the refund yet." },
    ],
  },
  {
    id: "c10",
    customer: "Valentina Cruz",
    subject: "Factura duplicada de octubre",
    lang: "es",
    agent: null,
    minutesAgo: 300,
    unread: false,
    messages: [{ from: "customer", text: "Me cobraron dos veces la cuota de octubre. Adjunto los dos recibos." }],
  },
];
